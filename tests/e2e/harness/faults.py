"""Disks that fail on command: strace makes chosen system calls on the database's files fail, at one place or for a while."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from types import TracebackType

# Calls that a database changes and secures its files with.
WRITING = "pwrite64,ftruncate,fallocate,fsync,fdatasync"
MAX_ATTACH_SECONDS = 20
# Whoever is not root may not look into the server, which keeps its memory private.
MAY_ATTACH = os.geteuid() == 0


def database_files(data_dir: Path) -> list[str]:
    """The files of an embedded database."""
    return [str(data_dir / name) for name in ("keywright.db", "keywright.db-wal", "keywright.db-journal")]


def failing_at(record: Path, data_dir: Path, call: str, error: str, number: int) -> list[str]:
    """The words to put before a command so that its `number`-th such call on the database's files fails. What happened stands
    in `record`; see `has_failed`."""
    return ["strace", "-D", "-f", "-b", "execve", "-qq", "-e", "signal=none", "-o", str(record), *_paths(data_dir),
            "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}", "--"]


def has_failed(record: Path) -> bool:
    """Whether the call that was to fail was ever made."""
    return record.exists() and "(INJECTED)" in record.read_text()


class Outage:
    """While it lasts, every such call of a running process on its database's files fails. Needs root."""

    def __init__(self, pid: int, data_dir: Path, error: str, calls: str = WRITING) -> None:
        self._pid = pid
        self._command = ["strace", "-f", "-qq", "-e", "signal=none", "-o", "/dev/null", *_paths(data_dir),
                         "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}", "-p", str(pid)]

    def __enter__(self) -> Outage:
        self._strace = subprocess.Popen(self._command)
        deadline = time.monotonic() + MAX_ATTACH_SECONDS
        while not self._is_attached():
            assert self._strace.poll() is None and time.monotonic() < deadline, "strace does not attach"
            time.sleep(0.02)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._strace.terminate()
        self._strace.wait(MAX_ATTACH_SECONDS)

    def _is_attached(self) -> bool:
        threads = list(Path(f"/proc/{self._pid}/task").iterdir())
        return all(f"TracerPid:\t{self._strace.pid}" in (thread / "status").read_text() for thread in threads)


def _paths(data_dir: Path) -> list[str]:
    return [word for path in database_files(data_dir) for word in ("-P", path)]
