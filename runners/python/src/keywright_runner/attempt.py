"""One attempt, from `start` to `idle`.

Order: context, state, trace; `running`; hook; function; state captured; trace complete;
payloads; `done`; everything the user left behind is closed; `idle`. What fails before
`running` is the platform's fault (`slot-failed`), everything after it the user's.
An abort cancels the user's task and answers `done` within 2 s even if the user
swallows the cancellation. SystemExit and KeyboardInterrupt of user code are not caught
here: they end the process. If the process dies, the worker sees EOF and no `done`.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Page

from . import failure, output, payloads, processes, scope
from .browser import CLOSE_SECONDS, BrowserHost, ContextOptions, Seat, within
from .calls import Calls
from .console import AttemptLog
from .entries import DEFERRED_MARK, Project
from .failure import AttemptFailed
from .hook import HookResult, run_hook
from .link import Link
from .protocol import (
    ABORTED,
    CAPTURE_FAILED,
    INVALID_OUTPUT,
    RESULT_TOO_BIG,
    SLOT_FAILED,
    FrameTooBig,
    Message,
    clean_text,
    to_json,
)
from .state import StateKeeper
from .trace import Trace

UNWIND_SECONDS = 1.0
ABORT_TRACE_SECONDS = 0.5
TASK_SECONDS = 0.5
CHECK = "auth-sessions/check"
PAGE_LEVELS = {"error": "error", "assert": "error", "warning": "warn", "debug": "debug"}


@dataclass
class Outcome:
    """What `done` will say."""

    result: Any = None
    session: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class Attempt:
    """The attempt that a `start` message asked for."""

    def __init__(self, start: Message, link: Link, host: BrowserHost, project: Project, after_login: bool) -> None:
        self.id: str = start["attemptId"]
        self.is_login = bool(start.get("captureSession"))
        self._after_login = after_login
        self._start = start
        self._link = link
        self._host = host
        self._project = project
        self._log = AttemptLog(link, self.id)
        self.calls = Calls(link, self.id)
        # The state that the next attempt of this slot will most likely be started with.
        self.expected: dict[str, Any] | None = start.get("session")
        self._abort = asyncio.Event()
        self._seat: Seat | None = None
        self._hook = HookResult()
        self._keeper: StateKeeper | None = None
        self._trace: Trace | None = None
        self._running = False
        self._tasks_before: set[asyncio.Task[Any]] = set()
        self._children_before: set[int] | None = None
        self._context = scope.IntunedContext(scope.IntunedRunContext.from_wire(start.get("context") or {}))
        self._context.platform = scope.Platform(
            self.calls, self._log, lambda: link.send({"type": "extend", "attemptId": self.id})
        )
        self._context.extend_timeout = self._extend
        self._context.get_auth_session_parameters = self._auth_parameters

    def abort(self) -> None:
        """Cancel the attempt; called on the loop."""
        self._abort.set()

    async def run(self) -> bool:
        """Run it to `idle`; whether the slot may take another start."""
        work = asyncio.create_task(self._work(), name="kw-work")
        abort = asyncio.create_task(self._abort.wait(), name="kw-abort")
        await asyncio.wait({work, abort}, return_when=asyncio.FIRST_COMPLETED)
        aborted = self._abort.is_set()
        if aborted and not work.done():
            work.cancel()
            await asyncio.wait({work}, timeout=UNWIND_SECONDS)
        abort.cancel()
        if aborted:
            await self._stop_trace(ABORT_TRACE_SECONDS)
            outcome = Outcome(error=failure.of_failure(AttemptFailed(ABORTED, "the attempt was aborted")))
        else:
            outcome = work.result()
        self._finish(outcome)
        scope.leave(self._context)
        reason = await self._clean_up()
        if aborted:
            reason = "the attempt was aborted"
        idle: Message = {"type": "idle", "attemptId": self.id, "reusable": reason is None}
        if reason is not None:
            idle["reason"] = clean_text(reason)
        self._link.send(idle)
        return reason is None

    async def _work(self) -> Outcome:
        try:
            await self._set_the_stage()
        except Exception as error:  # noqa: BLE001 - nothing of the user's ran yet: all of it is ours
            return Outcome(error=failure.of_failure(AttemptFailed(SLOT_FAILED, f"the browser failed: {error}", error)))
        # What follows in the same slot follows at once: the check after a login, the work after a check. Most often
        # nothing follows the check of a new login, and it is waited for: it has the browser alone.
        if self.is_login:
            self._host.prepare()
        elif self._start["function"] == CHECK and not self._after_login:
            self._host.prepare_with(self.expected)
        user = asyncio.create_task(self._user_part(), name="kw-user")
        try:
            result = await user
            return await self._harvest(result)
        except AttemptFailed as failed:
            return Outcome(error=failure.of_failure(failed))
        except (SystemExit, KeyboardInterrupt):
            raise
        except asyncio.CancelledError as error:
            if self._abort.is_set():
                user.cancel()
                await asyncio.wait({user})
                raise
            return Outcome(error=failure.of_user(error, self._project.root))  # the user cancelled his own task
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            return Outcome(error=failure.of_user(error, self._project.root))
        finally:
            await self._stop_trace(None)

    async def _set_the_stage(self) -> None:
        start = self._start
        self._seat = await self._host.take(self._options(), start.get("session"))
        self._keeper = self._seat.keeper
        self._keeper.report_to(self._log)
        self._trace = Trace(start.get("trace"))
        await self._trace.start(self._seat.context)
        self._listen(self._seat.context)

    async def _user_part(self) -> Any:
        """Everything of the user's: imports, the hook, the function."""
        assert self._seat is not None and self._keeper is not None and self._trace is not None
        self._tasks_before = asyncio.all_tasks()
        self._children_before = processes.children(os.getpid())
        scope.enter(self._context)
        self._link.send({"type": "running", "attemptId": self.id})
        start = self._start
        context, page = self._seat.context, self._seat.page
        hook = self._project.hook()
        parameters = start.get("parameters")
        if hook is not None:
            self._hook = await run_hook(hook, self._host.cdp_url, start["function"], parameters)
            if self._hook.context is not None and self._hook.context is not context:
                context = self._hook.context
                self._keeper = StateKeeper(self._log)
                await self._keeper.restore(context, self._hook.page, start.get("session"))
                await self._trace.move(context)
                self._listen(context)
            page = self._hook.page or page
        try:
            return await self._call(context, page, parameters)
        finally:
            if self._hook.cleanup is not None:
                await self._hook.cleanup()

    async def _call(self, context: BrowserContext, page: Page, parameters: Any) -> Any:
        function = self._project.entry(self._start["function"])
        positional = [] if parameters is None else [parameters]
        if getattr(function, DEFERRED_MARK, False):

            async def ensure_browser() -> tuple[BrowserContext, Page]:
                return context, page

            return await function(*positional, ensure_browser=ensure_browser)
        return await function(page, *positional)

    def _listen(self, context: BrowserContext) -> None:
        """What pages say on their console is part of the attempt's log."""

        def said(message: ConsoleMessage) -> None:
            for line in message.text.split("\n"):
                self._log.line("page", PAGE_LEVELS.get(message.type, "info"), line)

        context.on("console", said)
        context.on("weberror", lambda event: self._log.line("page", "error", f"uncaught: {event.error}"))

    async def _harvest(self, result: Any) -> Outcome:
        """The outcome of a function that returned."""
        try:
            plain = output.to_plain(result)
            frames = list(payloads.to_frames(self.id, payloads.to_items(self._context.extended_payloads)))
        except output.InvalidOutput as error:
            raise AttemptFailed(INVALID_OUTPUT, str(error)) from error
        size = len(to_json(plain))
        limit = int(self._start.get("maxResultBytes") or 2 * 1024 * 1024)
        if size > limit:
            raise AttemptFailed(RESULT_TOO_BIG, f"the result has {size} bytes, the limit is {limit}")
        # Before the capture, so that the trace does not hold the state.
        await self._stop_trace(None)
        session = await self._capture() if self._start.get("captureSession") else None
        self._expect(plain, session)
        for frame in frames:
            self._link.send(frame)
        return Outcome(result=plain, session=session)

    def _expect(self, result: Any, session: dict[str, Any] | None) -> None:
        """Make ready for the attempt that most likely follows."""
        if session is not None:
            self.expected = session
            self._host.prepare_with(session)
        elif self._start["function"] == CHECK and result is not True:
            self.expected = None  # the login is dead: it is made anew, in a blank page
            self._host.rest(None)

    async def _capture(self) -> dict[str, Any]:
        assert self._seat is not None and self._keeper is not None
        try:
            return await self._keeper.capture(self._hook.context or self._seat.context)
        except Exception as error:  # noqa: BLE001 - whatever the browser answered
            raise AttemptFailed(CAPTURE_FAILED, f"the state could not be captured: {error}", error) from error

    async def _stop_trace(self, seconds: float | None) -> None:
        if self._trace is not None:
            await self._trace.stop(seconds)

    def _finish(self, outcome: Outcome) -> None:
        """Send `done`; nothing of this attempt but `idle` follows it."""
        self.calls.close()
        self._log.close()
        done: Message = {"type": "done", "attemptId": self.id}
        attributes = self._context.attributes.to_dict()
        if attributes:
            done["attributes"] = attributes
        if outcome.error is not None:
            done.update(ok=False, error=outcome.error)
        else:
            done.update(ok=True, result=outcome.result)
            if outcome.session is not None:
                done["session"] = outcome.session
        try:
            self._link.send(done)
        except FrameTooBig as error:
            failed = AttemptFailed(CAPTURE_FAILED, f"the captured state is too big: {error}")
            self._link.send({"type": "done", "attemptId": self.id, "ok": False, "error": failure.of_failure(failed)})

    async def _clean_up(self) -> str | None:
        """Close what the attempt opened; the reason why the slot must not be used again, if there is one."""
        left = [task for task in asyncio.all_tasks() - self._tasks_before if not task.get_name().startswith("kw-")]
        if not self._tasks_before:
            left = []
        for task in left:
            task.cancel()
        prepared = await self._host.prepared_contexts()
        for context in list(self._host.contexts()):
            if context in prepared:
                continue
            if not await within(CLOSE_SECONDS, context.close):
                return "a context could not be closed"
        foreign = self._hook.context
        if foreign is not None and foreign.browser is not self._host.browser:
            await within(CLOSE_SECONDS, foreign.close)
            return "the setup hook brought a browser of its own"
        if left:
            _, pending = await asyncio.wait(left, timeout=TASK_SECONDS)
            if pending:
                return "a background task of the user does not end"
        if not self._host.connected():
            return "the browser is gone"
        if self._children_before is not None and processes.children(os.getpid()) - self._children_before:
            return "a process that the user started is still running"
        return None

    def _options(self) -> ContextOptions:
        start, defaults = self._start, self._host.default_options()
        viewport = start.get("viewport") or {"width": defaults.width, "height": defaults.height}
        proxy = start.get("proxy")
        return ContextOptions(
            width=int(viewport["width"]),
            height=int(viewport["height"]),
            ignore_https_errors=bool(start.get("ignoreHttpsErrors", False)),
            locale=start.get("locale"),
            timezone=start.get("timezone"),
            proxy=tuple(sorted((key, value) for key, value in proxy.items() if value is not None)) if proxy else None,
        )

    async def _extend(self) -> None:
        assert self._context.platform is not None
        self._context.platform.extend()

    async def _auth_parameters(self) -> Any:
        parameters = self._start.get("authParameters")
        if parameters is None:
            raise Exception("auth session parameters are not available: this run has no auth session with parameters")
        return parameters


