"""The one browser of this process and the page that is kept ready in it.

Launches Chromium through Playwright, finds out what it calls itself, and makes contexts
that look like a browser somebody sits at: no "Headless" in the user agent or the client
hints; only the very first request of a tab that a page opens can still tell by its hints, as Playwright gives
nobody a hold of it earlier. The next context with the defaults and one page in it are made ahead of time.
A debugging port is opened only for a project whose hook is told of it, because whoever finds a port has the browser; it
is a loopback port that Chromium chose itself, read from the file in the profile folder of *our* child, so runners beside
us are never mixed up.
If the process dies here, Playwright's driver sees its pipe close and ends the browser.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from playwright.async_api import Browser, BrowserContext, Error, Page, Playwright, async_playwright

from . import processes
from .state import State, StateError, StateKeeper

BASE_ARGS = (
    "--disable-blink-features=AutomationControlled",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-sync",
)
T = TypeVar("T")

CLOSE_SECONDS = 5.0
# Right after it starts to listen, which a busy machine can delay for seconds; a hook without the address cannot work.
PORT_FILE_SECONDS = 15.0
# A secure origin that exists only inside a route: client hints are invisible on about:blank.
LOOKING_GLASS = "https://looking-glass.invalid/"
READ_HINTS = """() => navigator.userAgentData && navigator.userAgentData.getHighEntropyValues(
  ["architecture", "bitness", "model", "platformVersion", "uaFullVersion", "fullVersionList", "wow64", "formFactors"])"""


@dataclass(frozen=True)
class ContextOptions:
    """What distinguishes one context from another."""

    width: int
    height: int
    ignore_https_errors: bool
    locale: str | None = None
    timezone: str | None = None
    proxy: tuple[tuple[str, str], ...] | None = None


@dataclass
class Seat:
    """A context with its first page and what keeps its state."""

    context: BrowserContext
    page: Page
    keeper: StateKeeper = field(default_factory=StateKeeper)
    dressing: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass
class _Prepared:
    """What is being made ready: first the context, then the seat in it, with the state once one is expected."""

    context: asyncio.Task[BrowserContext]
    seat: asyncio.Task[Seat]
    state: State | None = None


class BrowserHost:
    """The launched browser."""

    def __init__(self, playwright: Playwright, browser: Browser, defaults: ContextOptions) -> None:
        self._playwright = playwright
        self._browser = browser
        self._defaults = defaults
        self._next: _Prepared | None = None
        self._blank: _Prepared | None = None
        self.version = browser.version
        self.user_agent = ""
        self.cdp_url: str | None = None
        self._identity: dict[str, Any] = {}

    @classmethod
    async def launch(cls, spec: dict[str, Any]) -> BrowserHost:
        """Launch as a `warm` message says. Raises whatever Playwright raises."""
        width, height = int(spec["width"]), int(spec["height"])
        port = ["--remote-debugging-port=0"] if spec.get("debuggingPort") else []
        playwright = await async_playwright().start()
        browser = await playwright.chromium.launch(
            executable_path=spec["executablePath"],
            headless=bool(spec.get("headless", True)),
            chromium_sandbox=bool(spec.get("sandbox", True)),
            args=[*BASE_ARGS, f"--window-size={width},{height}", *port, *spec.get("args", [])],
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )
        host = cls(playwright, browser, ContextOptions(width, height, bool(spec.get("ignoreHttpsErrors", False))))
        if port:
            host.cdp_url = await _own_cdp_url()
        await host._learn_identity()
        return host

    def connected(self) -> bool:
        """Whether the browser is alive."""
        return self._browser.is_connected()

    @property
    def browser(self) -> Browser:
        """The browser as Playwright knows it."""
        return self._browser

    def contexts(self) -> list[BrowserContext]:
        """Every context that is open, the prepared one included."""
        return self._browser.contexts

    def default_options(self) -> ContextOptions:
        """What the prepared page is made with."""
        return self._defaults

    def prepare(self) -> None:
        """Begin to make the next context and page with the defaults."""
        if self._next is None and self.connected():
            self._next = self._make_blank()

    def rest(self, expected: State | None) -> None:
        """No attempt is running: prepare for the one that is expected, and for the other one too."""
        self.prepare_with(expected)
        if self._next is not None and self._next.state and self._blank is None and self.connected():
            self._blank = self._make_blank()

    def prepare_with(self, state: State | None) -> None:
        """Prepare, and put a state into the prepared page: the next attempt is expected to ask for it."""
        self.prepare()
        made = self._next
        if not state or made is None or made.state is not None:
            return
        blank = made.seat

        async def fill() -> Seat:
            seat = await blank
            await seat.keeper.restore(seat.context, seat.page, state)
            return seat

        made.state = state
        made.seat = _task(fill())

    async def take(self, options: ContextOptions, state: State | None) -> Seat:
        """A fresh context and page with the state in it: the prepared one when options and state fit, else new ones."""
        while (made := self._next) is not None and options == self._defaults:
            self._next, self._blank = self._blank, None
            seat = await self._seat_of(made) if made.state is None or _same(made.state, state) else None
            if seat is not None and not seat.page.is_closed():
                if made.state is None:
                    await seat.keeper.restore(seat.context, seat.page, state)
                return seat
            _task(self._discard(made))
        seat = await self._make_seat(await self._make_context(options), options)
        await seat.keeper.restore(seat.context, seat.page, state)
        return seat

    async def prepared_contexts(self) -> list[BrowserContext]:
        """The contexts that are kept for the next attempt."""
        contexts = []
        for made in (self._next, self._blank):
            try:
                if made is not None:
                    contexts.append(await asyncio.shield(made.context))
            except Error:
                pass  # take sees for itself what is wrong
        return contexts

    async def close(self) -> None:
        """Close the browser and Playwright in order."""
        for made in (self._next, self._blank):
            if made is not None:
                made.context.cancel()
                made.seat.cancel()
        await self._browser.close()
        await self._playwright.stop()

    async def _seat_of(self, made: _Prepared) -> Seat | None:
        try:
            return await made.seat
        except (Error, StateError):
            return None  # the browser may still be able to make another

    async def _discard(self, made: _Prepared) -> None:
        """Nobody will use it; it ends with the browser at the latest."""
        try:
            await (await made.context).close()
        except Error:
            pass

    def _make_blank(self) -> _Prepared:
        context = _task(self._make_context(self._defaults))

        async def sit() -> Seat:
            return await self._make_seat(await context, self._defaults)

        return _Prepared(context, _task(sit()))

    async def _make_context(self, options: ContextOptions) -> BrowserContext:
        return await self._browser.new_context(
            viewport={"width": options.width, "height": options.height},
            user_agent=self.user_agent,
            ignore_https_errors=options.ignore_https_errors,
            locale=options.locale,
            timezone_id=options.timezone,
            proxy=dict(options.proxy) if options.proxy else None,  # type: ignore[arg-type]
        )

    async def _make_seat(self, context: BrowserContext, options: ContextOptions) -> Seat:
        page = await context.new_page()
        await self._dress(context, page, options.locale)
        seat = Seat(context, page)

        def dress_later(other: Page) -> None:
            task = asyncio.create_task(self._dress(context, other, options.locale), name="kw-dress")
            seat.dressing.add(task)
            task.add_done_callback(seat.dressing.discard)

        context.on("page", dress_later)
        open_page = context.new_page

        async def new_page() -> Page:
            opened = await open_page()
            await asyncio.gather(*seat.dressing)  # before user code can go anywhere with it
            return opened

        context.new_page = new_page  # type: ignore[method-assign]
        return seat

    async def _dress(self, context: BrowserContext, page: Page, locale: str | None) -> None:
        """Give a page client hints without "Headless"."""
        if not self._identity:
            return
        try:
            session = await context.new_cdp_session(page)
            language = {"acceptLanguage": locale} if locale else {}
            await session.send("Emulation.setUserAgentOverride", {**self._identity, **language})
        except Error:
            pass  # the page closed meanwhile

    async def _learn_identity(self) -> None:
        session = await self._browser.new_browser_cdp_session()
        version = await session.send("Browser.getVersion")
        await session.detach()
        self.user_agent = version["userAgent"].replace("Headless", "")
        context = await self._browser.new_context(user_agent=self.user_agent)
        try:
            page = await context.new_page()
            await page.route("**/*", lambda route: route.fulfill(body="", content_type="text/html"))
            await page.goto(LOOKING_GLASS)
            hints = await page.evaluate(READ_HINTS)
        finally:
            await context.close()
        if hints:
            self._identity = {"userAgent": self.user_agent, "userAgentMetadata": _honest_hints(hints)}


def _same(one: State, other: State | None) -> bool:
    """Whether two states are the same JSON; Python's own equality takes true for 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


# The loop itself keeps only weak references to its tasks.
_tasks: set[asyncio.Task[Any]] = set()


def _task(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """The work, begun; whether it fails is seen by whoever awaits it, if anybody does."""
    task = asyncio.create_task(work, name="kw-prepare")
    _tasks.add(task)
    task.add_done_callback(_forget)
    return task


def _forget(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not complain about it


def _honest_hints(hints: dict[str, Any]) -> dict[str, Any]:
    """The browser's own client hints, as CDP wants them, without the headless brand."""
    metadata: dict[str, Any] = {
        "fullVersion": hints.get("uaFullVersion", ""),
        "platform": hints.get("platform", ""),
        "platformVersion": hints.get("platformVersion", ""),
        "architecture": hints.get("architecture", ""),
        "model": hints.get("model", ""),
        "mobile": bool(hints.get("mobile", False)),
        "bitness": hints.get("bitness", ""),
        "wow64": bool(hints.get("wow64", False)),
        "formFactors": hints.get("formFactors", []),
    }
    for key in ("brands", "fullVersionList"):
        metadata[key] = [item for item in hints.get(key, []) if "Headless" not in item["brand"]]
    return metadata


async def _own_cdp_url() -> str | None:
    """The websocket url of the browser below this process, or None if it never says."""
    deadline = asyncio.get_running_loop().time() + PORT_FILE_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        for pid in processes.descendants(os.getpid()):
            folder = _profile_of(pid)
            if folder is None:
                continue
            try:
                port, path = (folder / "DevToolsActivePort").read_text().split("\n")[:2]
            except (OSError, ValueError):
                continue
            return f"ws://127.0.0.1:{int(port)}{path}"
        await asyncio.sleep(0.02)  # Chromium writes the file right after it starts to listen
    return None


def _profile_of(pid: int) -> Path | None:
    """The profile folder of a browser process; None for every other process."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return None
    if any(argument.startswith("--type=") for argument in arguments):
        return None
    folders = [argument.partition("=")[2] for argument in arguments if argument.startswith("--user-data-dir=")]
    return Path(folders[0]) if folders else None


async def within(seconds: float, action: Callable[[], Awaitable[Any]]) -> bool:
    """Whether a closing action ended well in time."""
    try:
        await asyncio.wait_for(action(), seconds)
    except (Error, asyncio.TimeoutError):
        return False
    return True
