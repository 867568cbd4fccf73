"""The browser state of an AuthSession: restored before user code, captured after it.

How, and why the page cannot tell, is written in the header of `shared/state.js`; this is its Python side. Restoring
raises when the browser does not do it (the attempt then ends before user code ran); capturing raises rather than
returning half a state. A single value that cannot be kept is left out with a warning in the attempt's log.
"""

from __future__ import annotations

import json
from typing import Any

from playwright.async_api import BrowserContext, Error, Page

from .console import AttemptLog
from .cookies import read_cookies, write_cookies
from .protocol import clean_text
from .stub import ALL_STORES, StateError, Stub, call, isolated_world, script
from .visits import MAX_ORIGINS, Visits, origin_of

State = dict[str, Any]
SESSION_ONLY = ("sessionStorage",)
# A page that navigates while it is read is read again; one that never rests is read through a stub.
LIVE_TRIES = 3
OPEN_TAB_MS = 5000


class StateKeeper:
    """The state of one context during one attempt."""

    def __init__(self, log: AttemptLog | None = None) -> None:
        self._log = log
        self._unsaid: list[str] = []
        self._visits = Visits()
        self._restored: list[State] = []

    async def restore(self, context: BrowserContext, page: Page | None, state: State | None) -> None:
        """Put the state into a fresh context whose first page is `page`; a hook may bring a context without one."""
        if state:
            self._restored = [origin for origin in state.get("origins") or [] if _has_anything(origin)]
            await self._write(context, page, state.get("cookies") or [])
        self._visits.watch(context)

    def report_to(self, log: AttemptLog) -> None:
        """Say warnings in this log; those of a state that was restored ahead of its attempt at once."""
        self._log = log
        unsaid, self._unsaid = self._unsaid, []
        for text in unsaid:
            self._warn(text)

    async def capture(self, context: BrowserContext) -> State:
        """Everything the context holds now, and what was restored and not touched."""
        self._visits.stop()
        if self._visits.overflowed:
            self._warn(f"more than {MAX_ORIGINS} origins were visited; the later ones are not captured")
        # Routes of the user would see, and could answer, the stub's requests.
        await context.unroute_all(behavior="ignoreErrors")
        return await _Capture(context, self._visits, self._warn).run(self._restored)

    async def _write(self, context: BrowserContext, first: Page | None, cookies: list[dict[str, Any]]) -> None:
        own_page = first is None or first.url != "about:blank"
        page = await context.new_page() if own_page or first is None else first
        if self._restored:
            await self._write_origins(page, self._restored, ALL_STORES, cookies)
        elif cookies:
            session = await context.new_cdp_session(page)
            for warning in await write_cookies(session, cookies):
                self._warn(warning)
            await session.detach()
        if own_page:
            await page.close()
        await self._serve_later_tabs(context)

    async def _write_origins(
        self, page: Page, origins: list[State], stores: tuple[str, ...], cookies: list[dict[str, Any]] | None = None
    ) -> None:
        stub = await Stub.open(page)
        for warning in await write_cookies(stub.session, cookies or []):
            self._warn(warning)
        for origin in origins:
            try:
                warnings = await stub.restore(origin, stores)
            except (Error, StateError) as error:
                raise StateError(f"the state of {origin['origin']} could not be restored: {error}") from error
            for warning in warnings:
                self._warn(f"{origin['origin']}: {warning}")
        await stub.leave()

    async def _serve_later_tabs(self, context: BrowserContext) -> None:
        """sessionStorage belongs to a tab, so each later one needs it."""
        origins = [origin for origin in self._restored if origin.get("sessionStorage")]
        if not origins:
            return
        stored = {origin["origin"]: origin["sessionStorage"] for origin in origins}
        await context.add_init_script(f"({script('popup.js')}\n)({json.dumps(stored)})")
        open_page = context.new_page

        async def new_page() -> Page:
            page = await open_page()
            await self._write_origins(page, origins, SESSION_ONLY)
            return page

        context.new_page = new_page  # type: ignore[method-assign]

    def _warn(self, text: str) -> None:
        if self._log is None:
            self._unsaid.append(text)
        else:
            self._log.line("stderr", "warn", clean_text(text))


class _Capture:
    """One capture under way."""

    def __init__(self, context: BrowserContext, visits: Visits, warn: Any) -> None:
        self._context = context
        self._visits = visits
        self._warn = warn
        self._pages = [page for page in context.pages if not page.is_closed()]
        self._found: dict[str, State] = {}

    async def run(self, restored: list[State]) -> State:
        live: dict[Page, str] = {}
        for page in self._pages:
            origin = await self._read_live(page)
            if origin is not None:
                live[page] = origin
        for page in self._pages:
            gone = [origin for origin in self._visits.of(page) if origin != live.get(page) and self._lacks(origin)]
            if gone:
                await self._read_copy(page, gone)
        lost = [origin for origin in self._visits.all() if origin not in self._found]
        cookies = await self._read_fresh(lost)
        for state in restored:
            self._found.setdefault(state["origin"], state)
        return {
            "version": 1,
            "cookies": cookies,
            "origins": [state for state in self._found.values() if _has_anything(state)],
        }

    async def _read_live(self, page: Page) -> str | None:
        """Read the main document of an open page where it is; its origin, or None if that must be done elsewhere."""
        for _ in range(LIVE_TRIES):
            origin = origin_of(page.url)
            if origin is None:
                return None
            try:
                session = await self._context.new_cdp_session(page)
                try:
                    world = await isolated_world(session)
                    stores = json.dumps(SESSION_ONLY if origin in self._found else ALL_STORES)
                    answer = await call(session, f"capture({stores})", world)
                finally:
                    await session.detach()
            except (Error, StateError):
                if page.is_closed():
                    return None
                continue
            if answer["origin"]["origin"] == origin:
                self._take(answer)
                return origin
        return None

    async def _read_copy(self, page: Page, origins: list[str]) -> None:
        """Read origins this tab has left, in a copy of it; the tab itself stays where it is."""
        copy = await self._copy_tab(page)
        if copy is None:
            return
        try:
            await self._read_stubs(copy, origins)
        finally:
            await copy.close()

    async def _copy_tab(self, page: Page) -> Page | None:
        try:
            session = await self._context.new_cdp_session(page)
            world = await isolated_world(session)
            async with self._context.expect_page(timeout=OPEN_TAB_MS) as opened:
                await session.send(
                    "Runtime.evaluate",
                    {"expression": "void open('about:blank')", "contextId": world, "userGesture": True},
                )
            await session.detach()
            return await opened.value
        except Error:
            self._warn(f"the sessionStorage of origins that {page.url} has left could not be read")
            return None

    async def _read_fresh(self, origins: list[str]) -> list[dict[str, Any]]:
        """Read origins no open tab has, and the cookies; in a page of our own, as the user may have closed all."""
        page = await self._context.new_page() if origins or not self._pages else self._pages[0]
        try:
            if origins:
                await self._read_stubs(page, origins)
            session = await self._context.new_cdp_session(page)
            try:
                return await read_cookies(session)
            finally:
                await session.detach()
        finally:
            if page not in self._pages:
                await page.close()

    async def _read_stubs(self, page: Page, origins: list[str]) -> None:
        stub = await Stub.open(page)
        for origin in origins:
            try:
                self._take(await stub.capture(origin, SESSION_ONLY if origin in self._found else ALL_STORES))
            except (Error, StateError) as error:
                raise StateError(f"the state of {origin} could not be read: {error}") from error

    def _lacks(self, origin: str) -> bool:
        return origin not in self._found or not self._found[origin]["sessionStorage"]

    def _take(self, answer: dict[str, Any]) -> None:
        state = answer["origin"]
        for warning in answer["warnings"]:
            self._warn(f"{state['origin']}: {warning}")
        before = self._found.setdefault(state["origin"], state)
        if not before["sessionStorage"]:
            before["sessionStorage"] = state["sessionStorage"]


def _has_anything(state: State) -> bool:
    return any(state.get(store) for store in ALL_STORES)
