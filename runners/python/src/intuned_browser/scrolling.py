"""scroll_to_load_content: scroll to the end until no more content appears."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from playwright.async_api import Locator, Page

from .network import settle
from .sources import require_source

SETTLE_TIMEOUT_SECONDS = 10
# Before the first round; below zero, so that the first round goes on for any page that is high enough to matter.
NO_HEIGHT = -1

SCROLL_PAGE = """() => {
  const height = document.body.scrollHeight;
  window.scrollTo(0, height);
  return height;
}"""
SCROLL_ELEMENT = """(element) => {
  const height = element.scrollHeight;
  element.scrollTop = height;
  return height;
}"""


async def scroll_to_load_content(
    source: Page | Locator,
    *,
    on_scroll_progress: Callable[[], Any] = lambda: None,
    max_scrolls: int = 50,
    delay_s: float = 0.1,
    min_height_change: int = 100,
) -> None:
    """Scroll down until the height grows by less than `min_height_change`, or `max_scrolls` times.

    `on_scroll_progress` is called first in every round, without arguments; it is not awaited.
    """
    require_source(source, "scroll_to_load_content")
    page = source if isinstance(source, Page) else source.page
    script = SCROLL_PAGE if isinstance(source, Page) else SCROLL_ELEMENT
    last_height: float = NO_HEIGHT
    for _ in range(max_scrolls):
        on_scroll_progress()
        height = await settle(page, lambda: source.evaluate(script), SETTLE_TIMEOUT_SECONDS, 0)
        if abs(height - last_height) < min_height_change:
            return
        last_height = height
        await asyncio.sleep(delay_s)
