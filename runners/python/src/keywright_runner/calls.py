"""Questions to the worker that user code waits for: `call` out, `reply` back.

Answers arrive on the reader's thread and are handed over through a
concurrent future, so a call works from any event loop and any thread of the
user. When the attempt ends, calls still open fail; a late reply is ignored.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from concurrent.futures import Future
from typing import Any

from .link import Link
from .protocol import Message


class CallError(Exception):
    """The worker answered a call with an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})" if code else message)
        self.code = code


class Calls:
    """The open calls of one attempt."""

    def __init__(self, link: Link, attempt_id: str) -> None:
        self._link = link
        self._attempt_id = attempt_id
        self._ids = itertools.count(1)
        self._open: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._closed = False

    async def ask(self, method: str, params: dict[str, Any]) -> Any:
        """The value of the worker's answer. Raises CallError, or ValueError for what JSON cannot carry."""
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise CallError("attempt-over", f"{method} was called after the attempt had ended")
            call_id = next(self._ids)
            self._open[call_id] = future
        try:
            self._link.send(
                {"type": "call", "attemptId": self._attempt_id, "callId": call_id, "method": method, "params": params}
            )
            return await asyncio.wrap_future(future)
        finally:
            with self._lock:
                self._open.pop(call_id, None)

    def answer(self, message: Message) -> None:
        """Take a `reply`; called on the reader's thread."""
        with self._lock:
            future = self._open.pop(message.get("callId", 0), None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        if message.get("ok") is True:
            future.set_result(message.get("value"))
        else:
            error = message.get("error") or {}
            future.set_exception(CallError(str(error.get("code", "")), str(error.get("message", "the call failed"))))

    def close(self) -> None:
        """Fail what is still open; nothing can be asked afterwards."""
        with self._lock:
            self._closed = True
            left = list(self._open.values())
            self._open.clear()
        for future in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(CallError("attempt-over", "the attempt ended before the answer came"))
