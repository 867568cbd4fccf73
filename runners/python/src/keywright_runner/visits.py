"""Which origins the tabs of a context have been at, so that their stores are captured even when they are not open any more.

Playwright delivers a page with its frames and then each of their navigations in order, and the handlers here do not
wait, so no origin that became a document is missed. Memory of one attempt.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Frame, Page

# A page that walks through more origins than this in one login is not signing in; later ones are not captured.
MAX_ORIGINS = 200


def origin_of(url: str) -> str | None:
    """The origin of a document at this address; None where nothing can be stored."""
    parts = urlsplit(url.removeprefix("blob:"))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class Visits:
    """The origins of every tab since `watch`."""

    def __init__(self) -> None:
        self._tabs: dict[Page, dict[str, None]] = {}
        self._context: BrowserContext | None = None
        self.overflowed = False

    def watch(self, context: BrowserContext) -> None:
        """Begin with the pages that are open and follow every later one."""
        self._context = context
        for page in context.pages:
            self._follow(page)
        context.on("page", self._follow)

    def stop(self) -> None:
        """Follow nothing more: the pages opened from now on are the runner's own."""
        if self._context is not None:
            self._context.remove_listener("page", self._follow)

    def of(self, page: Page) -> Iterable[str]:
        """Where this tab has been, in order."""
        return tuple(self._tabs.get(page, ()))

    def all(self) -> Iterable[str]:
        """Where any tab has been, closed ones included."""
        return tuple(dict.fromkeys(origin for tab in self._tabs.values() for origin in tab))

    def _follow(self, page: Page) -> None:
        if page in self._tabs:
            return
        self._tabs[page] = {}
        for frame in page.frames:
            self._note(page, frame.url)
        page.on("framenavigated", lambda frame: self._arrived(page, frame))

    def _arrived(self, page: Page, frame: Frame) -> None:
        self._note(page, frame.url)

    def _note(self, page: Page, url: str) -> None:
        origin = origin_of(url)
        if origin is None or origin in self._tabs[page]:
            return
        if sum(map(len, self._tabs.values())) >= MAX_ORIGINS:
            self.overflowed = True
            return
        self._tabs[page][origin] = None
