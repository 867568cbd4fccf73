"""The run that user code is in: what the import shims read and write.

`IntunedContext` is the public name of it (interface compatibility); the attempt fills
one in and binds it to the context variable, so every task the user starts
sees its own attempt even if it outlives it. Threads of the user do not inherit
context variables; they see the attempt that is running. Outside a run: LookupError.
Everything here is memory of one attempt and is gone with it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .attributes import RunAttributes

if TYPE_CHECKING:
    from .calls import Calls
    from .console import AttemptLog

EXTEND_SECONDS = 1.0


@dataclass
class IntunedRunContext:
    """Who the run is; None where the platform said nothing."""

    job_id: str | None = None
    job_run_id: str | None = None
    run_id: str | None = None
    auth_session_id: str | None = None
    dependency_id: str | None = None
    dependency_for: str | None = None
    parent_run_id: str | None = None
    auth_session: dict[str, Any] | None = None
    proxy: str | None = None
    attempt_number: int | None = None
    api_name: str | None = None
    workspace_id: str | None = None
    project_name: str | None = None

    @classmethod
    def from_wire(cls, context: dict[str, Any]) -> IntunedRunContext:
        """From the `context` of a start message."""
        return cls(
            job_id=context.get("jobId"),
            job_run_id=context.get("jobRunId"),
            run_id=context.get("runId"),
            auth_session_id=context.get("authSessionId"),
            attempt_number=context.get("attemptNumber"),
            api_name=context.get("apiName"),
            workspace_id=context.get("workspaceId"),
            project_name=context.get("projectName"),
        )


class IntunedContext:
    """One run, as user code sees it. `with IntunedContext():` makes one for tests outside the platform."""

    def __init__(self, run_context: IntunedRunContext | None = None) -> None:
        self.run_context = run_context
        self.functions_token: str | None = None
        self.extended_payloads: list[Any] = []
        self.store: dict[str, Any] = {}
        self.attributes = RunAttributes()
        self.messages_for_agent: list[Any] = []
        self.extend_timeout: Callable[[], Awaitable[None]] | None = None
        self.get_auth_session_parameters: Callable[[], Awaitable[Any]] | None = None
        self.captcha_solver: Any = None
        # Ours, absent outside the platform.
        self.platform: Platform | None = None
        self._token: Token[IntunedContext] | None = None

    @classmethod
    def current(cls) -> IntunedContext:
        """The run this code belongs to. Raises LookupError outside a run."""
        found = _scope.get(None) or _running
        if found is None:
            raise LookupError("this works only inside a run: no run context is set")
        return found

    def __enter__(self) -> IntunedContext:
        if self._token is not None:
            raise RuntimeError("this run context was already entered")
        self._token = _scope.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is None:
            raise RuntimeError("this run context was not entered")
        _scope.reset(self._token)
        self._token = None


class Platform:
    """What an attempt on a worker offers beyond memory: calls, extension of the deadline, its log."""

    def __init__(self, calls: Calls, log: AttemptLog, send_extend: Callable[[], None]) -> None:
        self.calls = calls
        self.log = log
        self._send_extend = send_extend
        self._extended_at: float | None = None

    def extend(self) -> None:
        """Ask for the full time again; at most once a second, the first at once."""
        now = time.monotonic()
        if self._extended_at is None or now - self._extended_at >= EXTEND_SECONDS:
            self._extended_at = now
            self._send_extend()


_scope: ContextVar[IntunedContext] = ContextVar("keywright_scope")
_running: IntunedContext | None = None


def enter(context: IntunedContext) -> None:
    """Bind the run to the current task's context variable and make it the running one."""
    global _running
    _scope.set(context)
    _running = context


def leave(context: IntunedContext) -> None:
    """No run is running any more; tasks of it keep their variable."""
    global _running
    if _running is context:
        _running = None


def current_log() -> AttemptLog | None:
    """The log of the attempt this code belongs to, if it belongs to one."""
    found = _scope.get(None) or _running
    return found.platform.log if found is not None and found.platform is not None else None
