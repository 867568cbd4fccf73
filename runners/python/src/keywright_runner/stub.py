"""A page on a site's origin without the site: the place where its stores are written and read.

Every request of the page, the navigation first of all, is answered here with an empty document, so
nothing reaches the network and no script of the site runs; the site's service worker is passed by. The page can be a
fresh one, the page user code is about to get (left at about:blank with its history forgotten), or a copy of a tab.
If the process dies here the browser goes with it, and nothing was promised yet.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from playwright.async_api import CDPSession, Error, Page

T = TypeVar("T")

# A visit takes some 30 ms; a browser that needs this long is not going to finish.
VISIT_SECONDS = 15.0
# Writing or reading a large IndexedDB takes seconds, not more: a state is at most one frame.
CALL_SECONDS = 30.0
# The renderer reports a new document a moment before the browser has made it the active one.
NOT_YET_ACTIVE = "Not attached to an active page"
HISTORY_LOOKS = 500
HISTORY_LOOK_SECONDS = 0.002
BLANK = "about:blank"
EMPTY_DOCUMENT = base64.b64encode(b"<!doctype html><title></title>").decode()
ALL_STORES = ("localStorage", "sessionStorage", "indexedDB")


class StateError(Exception):
    """The browser did not write or read an origin's stores."""


@cache
def script(name: str) -> str:
    """The text of a page script that both runners share."""
    folder = os.environ.get("KEYWRIGHT_SHARED") or str(Path(__file__).resolve().parents[3] / "shared")
    return Path(folder, name).read_text(encoding="utf-8")


class Stub:
    """One page that shows empty documents on any origin."""

    def __init__(self, page: Page, session: CDPSession) -> None:
        self._page = page
        self._session = session
        self._answers: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, page: Page) -> Stub:
        """Take the page over until `leave`."""
        session = await page.context.new_cdp_session(page)
        stub = cls(page, session)
        session.on("Fetch.requestPaused", stub._answer_later)
        await asyncio.gather(
            _named(session.send("Network.enable")),
            _named(session.send("Network.setBypassServiceWorker", {"bypass": True})),
            _named(session.send("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})),
        )
        return stub

    @property
    def session(self) -> CDPSession:
        """The CDP session of the page."""
        return self._session

    async def capture(self, origin: str, stores: tuple[str, ...]) -> dict[str, Any]:
        """What the origin has stored: `{"origin", "warnings"}`."""
        await self._visit(origin)
        return await call(self._session, f"capture({json.dumps(stores)})")

    async def restore(self, state: dict[str, Any], stores: tuple[str, ...]) -> list[str]:
        """Write an origin's stores; the warnings."""
        await self._visit(state["origin"])
        return (await call(self._session, f"restore({json.dumps(state)}, {json.dumps(stores)})"))["warnings"]

    async def leave(self) -> None:
        """Give the page back as if it had never been anywhere."""
        await self._page.goto(BLANK, wait_until="commit", timeout=VISIT_SECONDS * 1000)
        await self._forget_history()
        await self._session.detach()

    async def _forget_history(self) -> None:
        for _ in range(HISTORY_LOOKS):
            try:
                history = await self._session.send("Page.getNavigationHistory")
                if history["entries"][history["currentIndex"]]["url"] == BLANK:
                    await self._session.send("Page.resetNavigationHistory")
                    return
            except Error as error:
                if NOT_YET_ACTIVE not in error.message:
                    raise
            await asyncio.sleep(HISTORY_LOOK_SECONDS)
        raise StateError("the page does not become blank")

    async def _visit(self, origin: str) -> None:
        await self._page.goto(f"{origin}/", wait_until="commit", timeout=VISIT_SECONDS * 1000)

    def _answer_later(self, event: dict[str, Any]) -> None:
        task = _named(self._answer(event["requestId"]))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, request_id: str) -> None:
        answer = {
            "requestId": request_id,
            "responseCode": 200,
            "responseHeaders": [
                {"name": "content-type", "value": "text/html; charset=utf-8"},
                {"name": "cache-control", "value": "no-store"},
            ],
            "body": EMPTY_DOCUMENT,
        }
        try:
            await self._session.send("Fetch.fulfillRequest", answer)
        except Error:
            pass  # the page closed, or the request was cancelled meanwhile


def _named(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """The work as a task that nobody takes for one of the user's: it may run while an attempt is cleaned up."""
    return asyncio.create_task(work, name="kw-stub")


async def call(session: CDPSession, expression: str, context_id: int | None = None) -> dict[str, Any]:
    """The parsed answer of one call of the shared page script. Raises StateError."""
    request: dict[str, Any] = {
        "expression": f"({script('state.js')}\n).{expression}",
        "awaitPromise": True,
        "returnByValue": True,
    }
    if context_id is not None:
        request["contextId"] = context_id
    try:
        answer = await asyncio.wait_for(_named(session.send("Runtime.evaluate", request)), CALL_SECONDS)
    except asyncio.TimeoutError:
        raise StateError(f"the page did not answer for {CALL_SECONDS:.0f} s") from None
    details = answer.get("exceptionDetails")
    if details is not None:
        thrown = details.get("exception") or {}
        raise StateError(str(thrown.get("description") or details.get("text")).split("\n")[0])
    return json.loads(answer["result"]["value"])  # type: ignore[no-any-return]


async def isolated_world(session: CDPSession) -> int:
    """An execution context in the page's main document that the page cannot see; its id."""
    tree = await session.send("Page.getFrameTree")
    frame_id = tree["frameTree"]["frame"]["id"]
    world = await session.send("Page.createIsolatedWorld", {"frameId": frame_id, "worldName": "state"})
    return int(world["executionContextId"])
