"""The life of the process: its messages in order, its exit codes, and that nothing survives it."""

from __future__ import annotations

import os
import signal
import struct
import time
from pathlib import Path

import pytest
from worker import BROWSER, FIXTURES, Worker

# The promise is 2 s; a loaded machine gets more.
GENEROUS_SECONDS = 8


def test_hello_says_who_speaks(new_worker):
    worker = new_worker()
    hello = worker.hello
    assert {key: hello[key] for key in ("type", "protocol", "language")} == {
        "type": "hello", "protocol": 1, "language": "python",
    }
    assert hello["pid"] == worker.process.pid
    assert hello["languageVersion"].startswith("3.") and hello["playwrightVersion"][0].isdigit()


def test_a_warm_browser_names_itself_without_headless(new_worker):
    ready = new_worker().warm()
    assert "Chrome/" in ready["userAgent"] and "Headless" not in ready["userAgent"]
    assert ready["browserVersion"].split(".")[0].isdigit()
    assert ready["cdpUrl"].startswith("ws://127.0.0.1:")


def test_shutdown_ends_with_zero_and_leaves_nothing(warm_worker):
    warm_worker.send("shutdown")
    assert warm_worker.end() == 0


def test_a_browser_that_does_not_start_is_told_and_exits_71(new_worker):
    worker = new_worker()
    worker.send("warm", browser={**BROWSER, "executablePath": "/nowhere/chromium"})
    failed = worker.expect("failed")
    assert failed["stage"] == "warm" and "/nowhere/chromium" in failed["message"]
    assert worker.end() == 71


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b'{"type":"dance"}', id="unknown type"),
        pytest.param(b'{"type":"start","attemptId":"a","function":"api/x"}', id="start before warm"),
        pytest.param(b'{"type":"warm"}', id="missing field"),
        pytest.param(b'{"type":"shutdown","x":NaN}', id="NaN"),
        pytest.param(b'{"type":"shutdown","x":"\\ud800"}', id="lone surrogate"),
        pytest.param(b"[1]", id="not an object"),
        pytest.param(b"{", id="not JSON"),
    ],
)
def test_a_broken_protocol_exits_70(new_worker, frame):
    worker = new_worker()
    worker.send_raw(struct.pack(">I", len(frame)) + frame)
    assert worker.end() == 70


def test_a_frame_over_16_mib_is_refused_by_its_header(new_worker):
    worker = new_worker()
    worker.send_raw(struct.pack(">I", 16 * 1024 * 1024 + 1))
    assert worker.end() == 70


def test_bind_twice_exits_70(new_worker):
    worker = new_worker().bind(FIXTURES / "unruly-py")
    worker.send("bind", root=str(FIXTURES / "unruly-py"), env={})
    assert worker.end() == 70


def test_start_while_an_attempt_runs_exits_70(warm_worker):
    warm_worker.bind(FIXTURES / "unruly-py").start("api/hangs")
    warm_worker.until("running")
    warm_worker.start("api/echo", attempt_id="a2")
    assert warm_worker.end() == 70


def test_eof_ends_a_process_whose_loop_is_blocked_and_its_browser(warm_worker):
    warm_worker.bind(FIXTURES / "unruly-py").start("api/sync-loop")
    warm_worker.until("running")
    warm_worker.socket.close()
    assert_ends_soon(warm_worker, 0)


def test_term_ends_a_process_whose_loop_is_blocked_and_its_browser(warm_worker):
    warm_worker.bind(FIXTURES / "unruly-py").start("api/sync-loop")
    warm_worker.until("running")
    os.kill(warm_worker.process.pid, signal.SIGTERM)
    assert_ends_soon(warm_worker, 0)


def test_eof_takes_processes_of_the_user_along(warm_worker):
    warm_worker.bind(FIXTURES / "unruly-py")
    report = warm_worker.run("api/leaks", {"mark": str(warm_worker.slot)})
    assert report.result == "left"
    assert report.idle["reusable"] is False and "process" in report.idle["reason"]
    warm_worker.socket.close()
    assert_ends_soon(warm_worker, 0)


@pytest.mark.parametrize(("code", "expected"), [(3, 3), (0, 0)])
def test_user_code_that_exits_takes_the_process_with_its_code(warm_worker, code, expected):
    warm_worker.bind(FIXTURES / "unruly-py").start("api/exits", {"code": code})
    warm_worker.until("running")
    with pytest.raises(EOFError):
        warm_worker.until("done")
    assert warm_worker.process.wait(GENEROUS_SECONDS) == expected


def test_sys_exit_in_user_code_ends_the_process_without_done(warm_worker, project):
    root = project({"api/leave.py": "import sys\nasync def automation(page, params=None): sys.exit(5)\n"})
    warm_worker.bind(root).start("api/leave")
    warm_worker.until("running")
    with pytest.raises(EOFError):
        warm_worker.until("done")
    assert warm_worker.end() == 5


def test_a_base_environment_is_searched_last(new_worker, tmp_path: Path):
    extra = tmp_path / "site"
    extra.mkdir()
    (extra / "only_in_base.py").write_text("HERE = True\n")
    (extra / "playwright.py").write_text("raise ImportError('the project has its own')\n")
    root = tmp_path / "project"
    (root / "api").mkdir(parents=True)
    (root / "api" / "x.py").write_text("import only_in_base\nasync def automation(page, params=None): pass\n")
    worker = new_worker(KEYWRIGHT_BASE_SITE=str(extra))
    worker.send("inspect", root=str(root), apis=["x"], authSessions=False)
    assert worker.expect("inspected")["problems"] == []


def assert_ends_soon(worker: Worker, code: int) -> None:
    begun = time.monotonic()
    assert worker.end() == code
    assert time.monotonic() - begun < GENEROUS_SECONDS
