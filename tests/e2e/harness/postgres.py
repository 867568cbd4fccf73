"""A PostgreSQL of the tests' own: Debian's binaries, an unprivileged user, a temporary folder, one port of the loopback.

It ends with the process that started it, whatever happens to that process, and its folder goes with `close`. Refuses to be
anybody's database: it trusts whoever reaches its port. It does not wait for the disk, because no test here cuts the power;
what it has answered survives `kill` of the whole server, which is what the tests do to it.
"""

from __future__ import annotations

import atexit
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# Whoever runs the tests as root starts the server as this user, since PostgreSQL refuses root.
UNPRIVILEGED = "nobody"
MAX_START_SECONDS = 60
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "logging_collector": "off",
    # A client that was partitioned away must not hold its locks for hours.
    "tcp_keepalives_idle": "10",
}


def binaries() -> Path:
    """The folder of the newest PostgreSQL that Debian has installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    assert found, "PostgreSQL is not installed: apt-get install postgresql"
    return found[-1].parent


class Postgres:
    """A running server. It can be killed and started again, and makes as many databases as tests want."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="keywright-postgres-"))
        self._data = self.folder / "data"
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        atexit.register(self.close)
        initdb = [str(binaries() / "initdb"), "--pgdata", str(self._data), "--username", "postgres", "--auth", "trust"]
        done = subprocess.run([*self._drop(), *initdb, "--encoding", "UTF8", "--locale", "C", "--no-sync"],
                              capture_output=True, text=True, check=False, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        self.port = _free_port()
        self.start()

    def _drop(self) -> list[str]:
        """What goes before a command so that it runs without privileges and ends when this process does."""
        if os.geteuid() != 0:
            return ["setpriv", "--pdeathsig", "KILL"]
        user = pwd.getpwnam(UNPRIVILEGED)
        return ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups", "--pdeathsig", "KILL"]

    def start(self) -> None:
        """Starts it on its folder and port, and waits until it takes connections.

        Call it from a thread that lives as long as the server is to live: the server ends with it.
        """
        assert self._process is None, "it runs already"
        command = [str(binaries() / "postgres"), "-D", str(self._data), "-p", str(self.port), "-k", str(self.folder)]
        for name, value in {"listen_addresses": "127.0.0.1", **SETTINGS}.items():
            command += ["-c", f"{name}={value}"]
        deadline = time.monotonic() + MAX_START_SECONDS
        while True:
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen([*self._drop(), *command], stdout=log, stderr=log, cwd=self.folder)
            while self._process.poll() is None and not self._is_ready():
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)
            if self._process.poll() is None:
                return
            # After a kill its children need a moment to see that they are alone; until then a new one refuses to start.
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        command = [str(binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def kill(self) -> None:
        """Ends the server the hard way: its first process is killed, and the others end when they notice."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it in order, and throws everybody out."""
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        self._process.send_signal(how)
        self._process.wait(MAX_START_SECONDS)
        self._process = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """The end of what it had to say."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def create_database(self) -> str:
        """A new, empty database; its name."""
        name = f"test_{next(self._numbers)}"
        self.query("postgres", f'CREATE DATABASE "{name}"')
        return name

    def url(self, database: str, port: int | None = None) -> str:
        """The address of a database, by another port if something stands in between."""
        return f"postgres://postgres@127.0.0.1:{port or self.port}/{database}?sslmode=disable"

    def query(self, database: str, sql: str) -> list[list[str]]:
        """Runs a statement past every proxy; its rows as texts."""
        command = [str(binaries() / "psql"), self.url(database), "-X", "-q", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run([*command, "-c", sql], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{sql}: {done.stderr}"
        return [line.split("\x1f") for line in done.stdout.splitlines()]

    def close(self) -> None:
        """Ends it and removes everything of it."""
        if self.is_running:
            # At once: nobody wants its last checkpoint.
            self._end(signal.SIGQUIT)
        self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
