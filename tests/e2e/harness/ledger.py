"""What the world was promised: every acknowledged id with its idempotency key, on disk before anything else happens.

The ledger is kept by the tests' process, outside of every server. Each fact is one line and is synced, so that it is there
whatever dies. It decides nothing; `harness.load` writes it and holds servers against it.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Promise:
    """A request that starts something, and what became of it."""

    key: str
    path: str
    body: dict[str, Any]
    # How often each stage of its run may start.
    budgets: dict[str, int]
    # Of the answer: which member names the id, and where its result is read, with `{}` for the id.
    id_member: str
    result_path: str
    project: str
    id: str | None = None
    run: str | None = None
    # Whether it was sent once without an answer, so that it may have been accepted whatever is answered later.
    was_left_open: bool = False
    # The terminal answer, once one was seen. It may never change.
    outcome: dict[str, Any] | None = None

    @property
    def is_operation(self) -> bool:
        return self.id_member == "operationId"

    @property
    def where(self) -> str:
        assert self.id is not None
        return self.result_path.format(self.id)


@dataclass
class Cancellation:
    """A cancellation that was answered: from then on nothing of the run starts."""

    run: str
    # By the journal's clock, and as wall time in seconds.
    answered_us: int
    answered_at: float


@dataclass
class Ledger:
    """All promises, and the file they are written to."""

    path: Path
    acknowledged: list[Promise] = field(default_factory=list)
    # Sent, and the connection broke before an answer: accepted or not, nobody knows yet.
    unanswered: list[Promise] = field(default_factory=list)
    # Keys of requests that were refused, with the status: nothing may have been committed under them.
    refused: dict[str, int] = field(default_factory=dict)
    cancellations: dict[str, Cancellation] = field(default_factory=dict)
    # Runs that somebody asked to cancel, answered or not.
    cancel_asked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _write(self, fact: dict[str, Any]) -> None:
        os.write(self._file, json.dumps(fact).encode() + b"\n")
        os.fdatasync(self._file)

    def acknowledge(self, promise: Promise, identity: str) -> None:
        """An answer named the id of what was accepted."""
        with self._lock:
            promise.id = identity
            if not promise.is_operation:
                promise.run = identity
            self._write({"acknowledged": identity, "key": promise.key, "path": promise.path})
            self.acknowledged.append(promise)

    def leave_open(self, promise: Promise) -> None:
        """The connection broke before an answer."""
        with self._lock:
            promise.was_left_open = True
            self.unanswered.append(promise)

    def take_unanswered(self) -> Promise | None:
        """One of the requests without an answer, to be sent again."""
        with self._lock:
            return self.unanswered.pop(0) if self.unanswered else None

    def refuse(self, promise: Promise, status: int) -> None:
        """An answer said that nothing was accepted."""
        with self._lock:
            self.refused[promise.key] = status

    def end(self, promise: Promise, outcome: dict[str, Any]) -> None:
        """A terminal answer was seen for the first time."""
        with self._lock:
            if promise.outcome is None:
                promise.outcome = outcome
                self._write({"ended": promise.id, "outcome": outcome})

    def cancel(self, cancellation: Cancellation) -> None:
        """A cancellation was answered."""
        with self._lock:
            self._write({"canceled": cancellation.run, "answeredUs": cancellation.answered_us})
            self.cancellations.setdefault(cancellation.run, cancellation)

    def close(self) -> None:
        os.close(self._file)
