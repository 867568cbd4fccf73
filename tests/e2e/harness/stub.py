"""Servers whose attempts do what their parameters say, without runners and browsers, and keep a journal of what they start.

For tests that kill servers by the hundred. What is real: the binary, its API, its engine, its database. What is not: user
code. `crates/keywright/src/stub_executor.rs` is the other half.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from .server import Server

# A project without logins and one with, both with one API, `work`.
PLAIN, LOGINS = "plain", "logins"
# Attempts at once of one node, and of a project over all nodes; the latter is more than any test's nodes have together.
CONCURRENCY = 16
PROJECT_CONCURRENCY = 64
LATELY_US = 30_000_000
MAX_DEATH_SECONDS = 10


def script(*, sleep_ms: int = 20, failures: int = 0, hangs: bool = False) -> dict[str, Any]:
    """Parameters of an attempt that takes so long, throws as long as its number is not beyond `failures`, or never ends."""
    return {"stub": {"sleepMs": sleep_ms, "failures": failures, "hangs": hangs}}


def uptime_us() -> int:
    """What the journal's clock says now."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000


class StubServer(Server):
    """A server without runners. It can be killed, stopped in its tracks, and started again with the same options."""

    def __init__(self, data_dir: Path, journal: Path, *arguments: str, like: Server | None = None,
                 env: dict[str, str] | None = None) -> None:
        """`like` is a server on the same database, whose key and workspace this one knows too."""
        self._lasting = {"KEYWRIGHT_STUB_EXECUTOR": str(journal), **(env or {})}
        self._like = like
        # By process: when it was certainly dead, by the journal's clock.
        self.deaths: dict[int, int] = {}
        # By process: the times during which it was stopped in its tracks.
        self.pauses: list[tuple[int, int, int]] = []
        self._frozen_at: int | None = None
        super().__init__(data_dir, "--concurrency", str(CONCURRENCY), *arguments)

    def start(self, env: dict[str, str] | None = None) -> None:
        super().start(env={**self._lasting, **(env or {})})
        if self._like is not None and not self.api_key:
            self.api_key = self._like.api_key
            self.http = self.client(self.api_key)

    def start_doomed(self, env: dict[str, str]) -> None:
        """Starts a process that is armed to die; it may do so before it is ready."""
        try:
            self.start(env=env)
        except AssertionError:
            if self.process.wait(MAX_DEATH_SECONDS) != -signal.SIGKILL:
                raise

    def kill(self) -> None:
        super().kill()
        self.note_death()

    def stop(self) -> int:
        code = super().stop()
        self.note_death()
        return code

    def note_death(self) -> None:
        """Remembers that the process is dead; called by whoever saw it end."""
        self.deaths.setdefault(self.process.pid, uptime_us())

    def freeze(self) -> None:
        """Stops the process in its tracks, as a machine that is suspended."""
        self._frozen_at = uptime_us()
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        assert self._frozen_at is not None, "it was not frozen"
        os.kill(self.process.pid, signal.SIGCONT)
        self.pauses.append((self.process.pid, self._frozen_at, uptime_us()))
        self._frozen_at = None

    @property
    def was_frozen_lately(self) -> bool:
        """Whether somebody who asked it in the last half minute could have found it frozen."""
        ended = max((end for _, _, end in self.pauses), default=0)
        return self._frozen_at is not None or uptime_us() - ended < LATELY_US

    def stub_folder(self, name: str) -> Path:
        """Where a project lies that `deploy_stubs` has deployed."""
        return self.data_dir.parent / f"project-{name}"

    def deploy_stubs(self) -> None:
        """Deploys both projects."""
        for name in (PLAIN, LOGINS):
            folder = self.stub_folder(name)
            settings = {
                "version": "2.0",
                "projectName": name,
                "apiAccess": {"enabled": True},
                "authSessions": {"enabled": name == LOGINS, "type": "API"},
                "replication": {"maxConcurrentRequests": PROJECT_CONCURRENCY},
            }
            files = {"Intuned.json": json.dumps(settings), "api/work.ts": "", "auth-sessions/create.ts": "",
                     "auth-sessions/check.ts": ""}
            for path, text in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
            # An absolute path stands for itself.
            self.deploy(str(folder))
