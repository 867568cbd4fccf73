"""What an operator does to a server that works: verify, doctor, backup, restore, and new keys for everything."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.ledger import Ledger
from harness.load import Load
from harness.postgres import Postgres, binaries
from harness.server import BINARY, RUNTIME_DIR
from harness.stub import LOGINS, PLAIN, StubServer, script

SEED = 20
OPERATIONS_PER_SECOND = 25
MAX_COMMAND_SECONDS = 120
MAX_SETTLE_SECONDS = 90
# Rotations that are killed before the one that is let through.
KILLED_ROTATIONS = 8
# A rotation takes about so long; it is killed somewhere in it.
ROTATION_SECONDS = 0.5
CANARY = "canary-pass-word-31415"


def keywright(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a command of the binary that needs no server."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("KEYWRIGHT_") or name == "KEYWRIGHT_BINARY"}
    command = [BINARY, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=MAX_COMMAND_SECONDS, check=False)


def answer(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    """The JSON that a command prints."""
    done = keywright(*arguments, "--json")
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def violated(what: str) -> None:
    raise AssertionError(what)


class Busy:
    """A server without runners, and a crowd that keeps it busy and remembers what it was promised."""

    def __init__(self, folder: Path) -> None:
        self.server = StubServer(folder / "data", folder / "journal", "--shutdown-grace-s", "0")
        self.server.deploy_stubs()
        self.violations: list[str] = []
        self.ledger = Ledger(folder / "ledger")
        self.load = Load(self.ledger, lambda: [self.server], SEED, OPERATIONS_PER_SECOND, self.violations.append)

    @property
    def data(self) -> Path:
        return self.server.data_dir

    def wait_for(self, acknowledged: int) -> None:
        """Waits until the crowd was promised so much."""
        deadline = time.monotonic() + MAX_SETTLE_SECONDS
        while len(self.ledger.acknowledged) < acknowledged:
            assert time.monotonic() < deadline, self.violations
            time.sleep(0.02)

    def settle(self) -> None:
        """Ends the crowd; everything it was promised has come true."""
        self.load.stop()
        self.load.settle(self.server, MAX_SETTLE_SECONDS)
        assert self.violations == []

    def close(self) -> None:
        self.load.stop()
        self.ledger.close()


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    busy = Busy(tmp_path)
    yield busy
    busy.close()


@pytest.fixture
def filled(tmp_path: Path) -> StubServer:
    """A server that was stopped after it had done some work."""
    server = StubServer(tmp_path / "data", tmp_path / "journal")
    server.deploy_stubs()
    parameters = {**script(sleep_ms=0), "password": CANARY}
    assert server.create(LOGINS, id="one", parameters=parameters)["status"] == "done"
    for _ in range(3):
        assert server.run(PLAIN, "work", parameters=parameters)["status"] == "completed"
    assert server.stop() == 0
    return server


def database(data: Path) -> sqlite3.Connection:
    return sqlite3.connect(data / "keywright.db", isolation_level=None)


def sealed_versions(data: Path) -> set[int]:
    """The versions of the data keys that the values in rows need."""
    columns = [("deployments", "built_sealed"), ("auth_sessions", "state_sealed"), ("auth_sessions", "parameters_sealed"),
               ("runs", "parameters_sealed"), ("runs", "result_sealed"), ("idempotency_keys", "fingerprint_sealed")]
    with closing(database(data)) as connection:
        headers = {row[0] for table, column in columns for row in connection.execute(
            f"SELECT DISTINCT substr({column}, 1, 5) FROM {table} WHERE {column} IS NOT NULL")}
    assert all(header[0] == 2 for header in headers)
    return {int.from_bytes(header[1:], "big") for header in headers}


# --- verify --------------------------------------------------------------------------------------------------------


def test_verify_finds_nothing_in_a_store_that_works(busy: Busy) -> None:
    busy.wait_for(40)
    live = answer("verify", "--data-dir", busy.data)
    assert live["isClean"] and live["violations"] == [] and live["sealedValues"] > 40
    busy.settle()
    assert busy.server.stop() == 0
    stopped = answer("verify", "--deep", "--data-dir", busy.data)
    assert stopped["isClean"] and stopped["sealedValues"] >= live["sealedValues"] and stopped["blobs"] >= 2


def test_verify_finds_what_is_broken_and_names_it(filled: StubServer) -> None:
    data = filled.data_dir
    with closing(database(data)) as connection:
        run, sealed = connection.execute("SELECT id, result_sealed FROM runs WHERE result_sealed IS NOT NULL LIMIT 1").fetchone()
        connection.execute("UPDATE runs SET result_sealed = ? WHERE id = ?", (sealed[:-1] + bytes([sealed[-1] ^ 1]), run))
        counted, = connection.execute("SELECT id FROM runs WHERE id <> ? AND kind = 'api' LIMIT 1", (run,)).fetchone()
        connection.execute("UPDATE runs SET attempts = attempts + 1 WHERE id = ?", (counted,))
    archives = sorted((data / "blobs").glob("*/deployments/*"))
    archives[0].unlink()
    archives[1].write_bytes(archives[1].read_bytes()[:-1])
    orphan = archives[1].with_name("orphan")
    orphan.write_bytes(b"12345")
    os.utime(orphan, (time.time() - 7_200,) * 2)

    found = answer("verify", "--data-dir", data, code=1)
    rows = [violation["row"] for violation in found["violations"]]
    assert any(f"runs.result_sealed of {run}" in row for row in rows), rows
    assert any(counted in row for row in rows), rows
    assert any(archives[0].name in row and "not there" in row for row in rows), rows
    assert not any(archives[1].name in row for row in rows), "whether a blob opens is found out by --deep"
    assert (found["unnamedBlobs"], found["unnamedBytes"]) == (1, 5)
    deep = answer("verify", "--deep", "--data-dir", data, code=1)
    assert any(archives[1].name in violation["row"] for violation in deep["violations"]), deep
    told = keywright("verify", "--data-dir", data)
    assert told.returncode == 1 and "BROKEN" in told.stdout and run in told.stdout


def test_verify_says_when_it_cannot_find_out(tmp_path: Path, filled: StubServer) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "error" in answer("verify", "--data-dir", empty, code=2)
    assert list(empty.iterdir()) == [], "whoever looks makes nothing"
    (filled.data_dir / "master.key").write_text("00" * 32)
    assert "cannot be opened" in answer("verify", "--data-dir", filled.data_dir, code=2)["error"]
    assert "data-dir" in keywright("verify").stderr


# --- doctor --------------------------------------------------------------------------------------------------------


def test_the_doctor_looks_at_everything_beside_a_running_server(busy: Busy) -> None:
    found = answer("doctor", "--data-dir", busy.data, "--runtime-dir", RUNTIME_DIR)
    checks = {check["what"]: check for check in found["checks"]}
    assert found["isHealthy"]
    assert {"data folder", "disk", "browser", "runners", "browser start", "sandbox", "master key", "database", "clock",
            "data keys", "blobs"} <= set(checks)
    assert [path.name for path in busy.data.iterdir() if path.name.startswith("doctor")] == []
    busy.settle()
    assert busy.server.stop() == 0


def test_the_doctor_says_what_fails_and_what_to_do(tmp_path: Path, filled: StubServer) -> None:
    found = answer("doctor", "--data-dir", filled.data_dir, "--runtime-dir", tmp_path / "none", "--headless-shell-path",
                   tmp_path / "no-browser", code=1)
    states = {check["what"]: check["state"] for check in found["checks"]}
    assert states["browser"] == "fail" and states["runners"] == "warn" and states["database"] == "ok"
    assert not (tmp_path / "none").exists(), "the doctor installs nothing"
    (filled.data_dir / "master.key").chmod(0o644)
    told = keywright("doctor", "--data-dir", filled.data_dir, "--runtime-dir", tmp_path / "none", "--roles", "all")
    assert told.returncode == 1 and "0600" in told.stdout
    assert keywright("doctor", "--data-dir", filled.data_dir, "--concurrency", "0").returncode == 2


# --- backup and restore --------------------------------------------------------------------------------------------


def test_a_backup_under_load_holds_everything_that_was_acknowledged_before(tmp_path: Path, busy: Busy) -> None:
    busy.wait_for(60)
    # What the crowd deletes meanwhile takes its operations' route along.
    before = [promise for promise in busy.ledger.acknowledged if not promise.is_operation]
    assert len(before) > 10
    made = answer("backup", "--data-dir", busy.data, "--to", tmp_path / "backup")
    assert made["missing"] == 0 and not made["hasMasterKey"]
    busy.wait_for(len(busy.ledger.acknowledged) + 10)
    busy.load.stop()
    busy.server.kill()
    assert busy.violations == []
    kept = list((tmp_path / "backup").rglob("*"))
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in kept)
    assert not any(path.name == "master.key" for path in kept)

    sums = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "backup", check=False)
    assert sums.returncode == 0
    restored = answer("restore", "--from", tmp_path / "backup", "--data-dir", tmp_path / "restored", "--master-key-file",
                      busy.data / "master.key")
    assert restored["sealedValues"] > len(before)
    server = StubServer(tmp_path / "restored", tmp_path / "journal-2", like=busy.server)
    for promise in before:
        result = server.http.get(promise.where)
        assert result.status_code == 200, f"{promise.id} was acknowledged before the backup: {result.text}"
        if promise.outcome is not None and result.json()["status"] == promise.outcome["status"]:
            assert result.json() == promise.outcome
    assert server.run(PLAIN, "work", parameters=script(sleep_ms=0))["status"] == "completed"
    assert server.stop() == 0
    assert answer("verify", "--deep", "--data-dir", tmp_path / "restored")["isClean"]


def test_a_backup_can_take_the_key_along(tmp_path: Path, filled: StubServer) -> None:
    assert answer("backup", "--data-dir", filled.data_dir, "--to", tmp_path / "b", "--with-key")["hasMasterKey"]
    assert stat.S_IMODE((tmp_path / "b/master.key").stat().st_mode) == 0o600
    answer("restore", "--from", tmp_path / "b", "--data-dir", tmp_path / "restored")
    assert (tmp_path / "restored/master.key").read_bytes() == (filled.data_dir / "master.key").read_bytes()
    content = b"".join(path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file())
    assert CANARY.encode() not in content


def test_a_restore_refuses_whatever_is_not_right_and_leaves_nothing(tmp_path: Path, filled: StubServer) -> None:
    good, key = tmp_path / "good", filled.data_dir / "master.key"
    answer("backup", "--data-dir", filled.data_dir, "--to", good)
    other = tmp_path / "other.key"
    other.write_text("11" * 32)
    other.chmod(0o600)

    def refused(part: str, *, change: str | None = None, master: Path | None = key) -> None:
        backup = tmp_path / "changed"
        shutil.rmtree(backup, ignore_errors=True)
        shutil.copytree(good, backup)
        match change:
            case "database":
                content = bytearray((backup / "keywright.db").read_bytes())
                content[-1] ^= 1
                (backup / "keywright.db").write_bytes(content)
            case "blob":
                next((backup / "blobs").rglob("*.tar.gz")).unlink()
            case "sums":
                with (backup / "SHA256SUMS").open("a") as sums:
                    sums.write(f"{'0' * 64}  ../../escaped\n")
            case "manifest":
                (backup / "manifest.json").write_text("{}")
        arguments = ["--master-key-file", str(master)] if master else []
        done = keywright("restore", "--from", backup, "--data-dir", tmp_path / "new", *arguments)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert part in done.stderr, done.stderr
        assert not (tmp_path / "new").exists()

    refused("keywright.db was changed or damaged", change="database")
    refused("is not in the backup", change="blob")
    refused("was changed or damaged", change="sums")
    refused("is not a manifest", change="manifest")
    refused("--master-key-file", master=None)
    refused("cannot be opened", master=other)
    refused("no key file", master=tmp_path / "nowhere")

    full = tmp_path / "full"
    full.mkdir()
    (full / "something").write_text("precious")
    done = keywright("restore", "--from", good, "--data-dir", full, "--master-key-file", key)
    assert done.returncode == 1 and "is not empty" in done.stderr
    assert [path.name for path in full.iterdir()] == ["something"]
    again = keywright("backup", "--data-dir", filled.data_dir, "--to", good)
    assert again.returncode == 1 and "is not empty" in again.stderr
    nothing = keywright("backup", "--data-dir", tmp_path / "nothing", "--to", tmp_path / "nothing-2")
    assert nothing.returncode == 1 and not (tmp_path / "nothing-2").exists()


# --- keys ----------------------------------------------------------------------------------------------------------


def test_keys_are_rotated_under_load_whenever_the_rotation_is_killed(busy: Busy) -> None:
    dice = random.Random(SEED)
    busy.wait_for(40)
    command = [BINARY, "keys", "rotate", "--data-dir", str(busy.data)]
    for _ in range(KILLED_ROTATIONS):
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0, ROTATION_SECONDS))
        killed.kill()
        killed.wait()
        busy.wait_for(len(busy.ledger.acknowledged) + 3)
    done = answer("keys", "rotate", "--data-dir", busy.data)
    assert done["isFinished"] and done["damaged"] == 0
    busy.settle()
    assert not answer("verify", "--deep", "--data-dir", busy.data)["isRotationOpen"]

    # What is behind the current key is not needed any more.
    assert busy.server.stop() == 0
    key = busy.data / "master.key"
    current, *older = key.read_text().splitlines()
    assert older
    key.write_text(current)
    assert answer("verify", "--deep", "--data-dir", busy.data)["isClean"]
    busy.server.start()
    for promise in busy.ledger.acknowledged:
        assert busy.server.http.get(promise.where).status_code in (200, 404), promise.id
    assert busy.server.stop() == 0


def test_a_rotation_seals_everything_anew_and_older_keys_open_nothing(filled: StubServer) -> None:
    data = filled.data_dir
    assert sealed_versions(data) == {1}
    old_key = (data / "master.key").read_text()
    done = answer("keys", "rotate", "--data-dir", data)
    assert done["masterKeyIsNew"] and done["dataKeysAreNew"] and done["values"] >= 6
    assert sealed_versions(data) == {2}
    key = data / "master.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    new_key = key.read_text()
    assert new_key.splitlines()[1:] == old_key.splitlines()
    key.write_text(old_key)
    assert "cannot be opened" in answer("verify", "--data-dir", data, code=2)["error"]
    key.write_text(new_key)
    assert answer("verify", "--deep", "--data-dir", data)["isClean"]
    filled.start()
    assert filled.validate(LOGINS, "one")["status"] == "done"
    assert filled.stop() == 0


def test_an_interrupted_rotation_is_gone_on_with_and_makes_no_further_keys(filled: StubServer) -> None:
    data = filled.data_dir
    key = data / "master.key"
    # As after a kill between the file and the database.
    key.write_text("22" * 32 + "\n" + key.read_text())
    assert answer("verify", "--data-dir", data)["isRotationOpen"]
    checks = answer("doctor", "--data-dir", data, "--runtime-dir", RUNTIME_DIR)["checks"]
    assert {"what": "data keys", "state": "warn"}.items() <= next(c for c in checks if c["what"] == "data keys").items()
    done = answer("keys", "rotate", "--data-dir", data)
    assert not done["masterKeyIsNew"] and done["dataKeysAreNew"] and len(key.read_text().splitlines()) == 2
    # As after a kill while values were sealed anew.
    with closing(database(data)) as connection:
        connection.execute("UPDATE data_keys SET settled_at = NULL WHERE version = 2")
    done = answer("keys", "rotate", "--data-dir", data)
    assert not done["masterKeyIsNew"] and not done["dataKeysAreNew"] and len(key.read_text().splitlines()) == 2
    assert not answer("verify", "--data-dir", data)["isRotationOpen"]


def test_a_rotation_with_a_wrong_or_a_missing_key_changes_nothing(filled: StubServer) -> None:
    data = filled.data_dir
    key = data / "master.key"
    right = key.read_text()
    before = (data / "keywright.db").read_bytes()
    for wrong in ("33" * 32, "nonsense", None):
        key.unlink()
        if wrong is not None:
            key.write_text(wrong)
            key.chmod(0o600)
        done = keywright("keys", "rotate", "--data-dir", data)
        assert done.returncode == 1 and "key" in done.stderr
        assert (key.read_text() if key.exists() else None) == wrong
        server = [BINARY, "serve", "--data-dir", str(data), "--listen", "127.0.0.1:0", "--runtime-dir", RUNTIME_DIR]
        refused = subprocess.run(server, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 1 and "key" in refused.stderr
        assert (key.read_text() if key.exists() else None) == wrong, "a server never makes a key for data that has one"
        key.write_text(right)
        key.chmod(0o600)
    assert (data / "keywright.db").read_bytes() == before
    assert answer("verify", "--deep", "--data-dir", data)["isClean"]


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


def test_keys_of_two_nodes_on_postgresql_are_rotated_in_two_runs(tmp_path: Path, postgres: Postgres) -> None:
    name = postgres.create_database()
    options = ("--database-url", postgres.url(name), "--blobs", str(tmp_path / "blobs"))
    one = StubServer(tmp_path / "one", tmp_path / "journal", *options)
    one.deploy_stubs()
    (tmp_path / "two").mkdir(mode=0o700)
    shutil.copy2(one.data_dir / "master.key", tmp_path / "two/master.key")
    two = StubServer(tmp_path / "two", tmp_path / "journal", *options, like=one)
    assert one.create(LOGINS, id="one", parameters=script(sleep_ms=0))["status"] == "done"

    rotate = ("keys", "rotate", "--data-dir", one.data_dir, *options)
    assert not answer(*rotate)["isFinished"]
    assert two.validate(LOGINS, "one")["status"] == "done", "nothing is sealed with a key that not everybody has"
    shutil.copy2(one.data_dir / "master.key", two.data_dir / "master.key")
    done = answer(*rotate)
    assert done["isFinished"] and done["values"] > 0
    for server in (two, one):
        assert server.validate(LOGINS, "one")["status"] == "done"
        assert server.run(PLAIN, "work", parameters=script(sleep_ms=0))["status"] == "completed"
    found = answer("verify", "--deep", "--data-dir", one.data_dir, *options)
    assert found["isClean"] and not found["isRotationOpen"]
    assert keywright("backup", "--data-dir", one.data_dir, "--to", tmp_path / "b", *options).returncode == 1

    # As docs/OPERATIONS.md says: the database first, its blobs after it.
    dump = [str(binaries() / "pg_dump"), "--format=custom", f"--file={tmp_path / 'dump'}", postgres.url(name)]
    subprocess.run(dump, check=True, timeout=MAX_COMMAND_SECONDS)
    shutil.copytree(tmp_path / "blobs", tmp_path / "blobs-2")
    copy = postgres.create_database()
    load = [str(binaries() / "pg_restore"), "--no-owner", f"--dbname={postgres.url(copy)}", str(tmp_path / "dump")]
    subprocess.run(load, check=True, timeout=MAX_COMMAND_SECONDS)
    restored = ("--data-dir", one.data_dir, "--database-url", postgres.url(copy), "--blobs", tmp_path / "blobs-2")
    assert answer("verify", "--deep", *restored)["isClean"]
    assert two.stop() == 0 and one.stop() == 0
