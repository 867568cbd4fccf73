"""What a server does when its disk, its database or its browser does not do its part: it refuses truthfully, goes on with
what it can, and recovers by itself. The acceptance programme (A18) tries the same at many more places."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from accept.a18_disk import broken_browser, damaged, locked, one_failure, outage, start_refused, verify
from harness.faults import MAY_ATTACH
from harness.stub import StubServer

NEEDS_ROOT = pytest.mark.skipif(not MAY_ATTACH, reason="only root may make a running server's system calls fail")
# Longer than a write waits for a lock.
LOCK_SECONDS = 7


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubServer]:
    folder = tmp_path_factory.mktemp("degraded")
    server = StubServer(folder / "data", folder / "journal", "--shutdown-grace-s", "0")
    server.deploy_stubs()
    yield server
    assert server.stop() == 0
    verify(server.data_dir, fail)


def fail(what: str) -> None:
    pytest.fail(what)


@NEEDS_ROOT
@pytest.mark.parametrize("error", ["ENOSPC", "EROFS", "EIO"])
def test_while_nothing_can_be_written_writes_are_refused_and_reads_go_on_until_it_works_again(stub: StubServer, error: str) -> None:
    outage(stub, error, 1, fail)


def test_a_foreign_lock_is_waited_for_and_then_refused(stub: StubServer) -> None:
    locked(stub, LOCK_SECONDS, fail)


def test_a_second_server_on_the_data_folder_is_refused(stub: StubServer) -> None:
    refused = start_refused(stub.data_dir)
    assert (refused.returncode != 0, refused.stdout) == (True, "")
    assert "another process uses the data folder" in refused.stderr


def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    server = StubServer(tmp_path / "data", tmp_path / "journal")
    server.deploy_stubs()
    assert server.stop() == 0
    damaged(server.data_dir, random.Random(1), fail)
    server.start()
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("call", "error", "number", "does_crash"),
    [
        ("pwrite64", "ENOSPC", 150, True),
        ("pwrite64", "EIO", 220, False),
        ("fdatasync,fsync", "EIO", 20, True),
        ("fdatasync,fsync", "EIO", 25, False),
        ("fdatasync,fsync", "EIO", 30, True),
    ],
)
def test_a_refusal_is_true_also_when_the_server_dies_right_after_it(
    tmp_path: Path, call: str, error: str, number: int, does_crash: bool
) -> None:
    assert one_failure(tmp_path / "scene", call, error, number, does_crash, fail), "the call that was to fail was never made"


def test_a_browser_that_does_not_start_is_told_and_the_api_goes_on(tmp_path: Path) -> None:
    broken_browser(tmp_path / "broken", fail)
