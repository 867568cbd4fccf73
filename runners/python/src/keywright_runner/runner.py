"""The life of the process: which message is legal when, and what it starts.

Messages arrive on the reader's thread. Replies are handed to the attempt right there;
everything else is queued for the event loop. A message out of order or of unknown type
ends the process with code 70.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import sys
import traceback
from typing import Any

from . import PROTOCOL_VERSION
from .attempt import Attempt
from .browser import BrowserHost
from .entries import Project
from .inspection import inspect_project
from .lifeline import Lifeline
from .link import Link
from .protocol import EXIT_NO_BROWSER, EXIT_ORDERLY, EXIT_OTHER, Message, ProtocolError, clean_text

CLOSE_BROWSER_SECONDS = 1.0


class Runner:
    """One process, one connection, one slot."""

    def __init__(self, link: Link, lifeline: Lifeline) -> None:
        self._link = link
        self._lifeline = lifeline
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._host: BrowserHost | None = None
        self._project: Project | None = None
        self._attempt: Attempt | None = None
        self._after_login = False
        self._attempt_task: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Serve until `shutdown`; the process ends inside."""
        loop = asyncio.get_running_loop()

        def receive(message: Message) -> None:
            if message["type"] == "reply":
                attempt = self._attempt
                if attempt is not None and message.get("attemptId") == attempt.id:
                    attempt.calls.answer(message)
                return
            loop.call_soon_threadsafe(self._inbox.put_nowait, message)

        self._link.send(
            {
                "type": "hello",
                "protocol": PROTOCOL_VERSION,
                "language": "python",
                "languageVersion": platform.python_version(),
                "playwrightVersion": importlib.metadata.version("playwright"),
                "pid": os.getpid(),
            }
        )
        self._link.start(receive)
        try:
            while True:
                await self._handle(await self._inbox.get())
        except ProtocolError as error:
            self._link.refuse(error)

    async def _handle(self, message: Message) -> None:
        kind = message["type"]
        try:
            if kind == "warm":
                await self._warm(message["browser"])
            elif kind == "bind":
                self._bind(message["root"], message.get("env") or {})
            elif kind == "start":
                await self._begin(message)
            elif kind == "abort":
                if self._attempt is not None and self._attempt.id == message["attemptId"]:
                    self._attempt.abort()
            elif kind == "shutdown":
                await self._shut_down()
            elif kind == "inspect":
                await self._inspect(message)
            else:
                raise ProtocolError(f"unknown message type {kind!r}")
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"a {kind} message is malformed: {type(error).__name__}: {error}") from error

    async def _warm(self, spec: dict[str, Any]) -> None:
        if self._host is not None:
            raise ProtocolError("warm was sent twice")
        try:
            self._host = await BrowserHost.launch(spec)
        except Exception as error:  # noqa: BLE001 - whatever kept the browser from starting
            self._link.send({"type": "failed", "stage": "warm", "message": clean_text(str(error))[:16384]})
            self._lifeline.leave(EXIT_NO_BROWSER)
            return
        self._link.send(
            {
                "type": "ready",
                "browserVersion": self._host.version,
                "userAgent": self._host.user_agent,
                "cdpUrl": self._host.cdp_url,
            }
        )
        self._host.prepare()

    def _bind(self, root: str, env: dict[str, str]) -> None:
        if self._project is not None:
            raise ProtocolError("bind was sent twice")
        os.environ.update(env)
        self._project = Project(root)
        self._link.send({"type": "bound"})

    async def _begin(self, message: Message) -> None:
        if self._host is None or self._project is None:
            raise ProtocolError("start was sent before warm and bind")
        if self._attempt_task is not None:
            if not self._attempt_task.done():
                # `idle` is sent as the last act of an attempt; its task ends a moment later.
                if self._attempt is not None:
                    raise ProtocolError("start was sent while an attempt was running")
                await self._attempt_task
        self._attempt = Attempt(message, self._link, self._host, self._project, self._after_login)
        self._attempt_task = asyncio.create_task(self._run_attempt(self._attempt), name="kw-attempt")

    async def _run_attempt(self, attempt: Attempt) -> bool:
        try:
            reusable = await attempt.run()
        except Exception:  # noqa: BLE001 - a defect of ours: the worker must see a dead slot, not a silent one
            if sys.__stderr__ is not None:
                sys.__stderr__.write(traceback.format_exc())
                sys.__stderr__.flush()
            self._lifeline.leave(EXIT_OTHER)
            raise
        self._attempt = None
        self._after_login = attempt.is_login
        if reusable and self._host is not None:
            self._host.rest(attempt.expected)
        return reusable

    async def _shut_down(self) -> None:
        if self._host is not None:
            try:
                await asyncio.wait_for(self._host.close(), CLOSE_BROWSER_SECONDS)
            except Exception:  # noqa: BLE001 - the lifeline kills what did not close
                pass
        self._lifeline.leave(EXIT_ORDERLY)

    async def _inspect(self, message: Message) -> None:
        problems, warnings = inspect_project(message["root"], message["apis"], bool(message.get("authSessions")))
        self._link.send({"type": "inspected", "problems": problems, "warnings": warnings})
        self._lifeline.leave(EXIT_ORDERLY)
