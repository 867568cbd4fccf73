"""click_until_exhausted: click a "load more" button until it is gone, disabled, or brings nothing new."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from playwright.async_api import Locator, Page

from .network import settle
from .sources import require_page

SETTLE_TIMEOUT_SECONDS = 30


async def click_until_exhausted(
    page: Page,
    button_locator: Locator,
    heartbeat: Callable[[], Any] = lambda: None,
    *,
    container_locator: Locator | None = None,
    max_clicks: int = 50,
    click_delay: float = 0.5,
    no_change_threshold: int = 0,
) -> None:
    """Click at most `max_clicks` times, waiting `click_delay` seconds and for the network after each.

    With a container, stop when a click added not more than `no_change_threshold` children. `heartbeat` is called first
    in every round, also in the one that then stops, without arguments; it is not awaited.
    """
    require_page(page, "click_until_exhausted")

    async def click_all() -> None:
        children = await _children(container_locator)
        for _ in range(max_clicks):
            heartbeat()
            if not await button_locator.is_visible() or not await button_locator.is_enabled():
                return
            await settle(page, click_once, SETTLE_TIMEOUT_SECONDS, 0)
            if container_locator is not None:
                now = await _children(container_locator)
                if now - children <= no_change_threshold:
                    return
                children = now

    async def click_once() -> None:
        await button_locator.scroll_into_view_if_needed()
        await button_locator.click(force=True)
        await asyncio.sleep(click_delay)

    await settle(page, click_all, SETTLE_TIMEOUT_SECONDS, 0)


async def _children(container: Locator | None) -> int:
    """How many direct children the container's matches have; a container that matches nothing raises."""
    if container is None:
        return 0
    await container.first.wait_for(state="attached")
    return await container.locator("xpath=./*").count()
