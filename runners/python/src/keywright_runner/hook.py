"""The project's setup hook: called before the function, may bring its own browser.

It returns nothing, a context, (context, page or None) or (context, page or None, async
cleanup). Anything else is the user's error. What it opened is closed when the attempt ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from playwright.async_api import BrowserContext, Page

from .entries import Entry


@dataclass
class HookResult:
    """What the hook wants to be used instead of the launched context and page."""

    context: BrowserContext | None = None
    page: Page | None = None
    cleanup: Callable[[], Awaitable[Any]] | None = None


async def run_hook(hook: Entry, cdp_url: str | None, api_name: str, api_parameters: Any) -> HookResult:
    """Call the hook and read what it returned."""
    returned = await hook(cdp_url=cdp_url, api_name=api_name, api_parameters=api_parameters)
    if returned is None:
        return HookResult()
    if isinstance(returned, BrowserContext):
        return HookResult(context=returned)
    if isinstance(returned, tuple) and len(returned) in (2, 3) and isinstance(returned[0], BrowserContext):
        context, page = returned[0], returned[1]
        cleanup = returned[2] if len(returned) == 3 else None
        if (page is None or isinstance(page, Page)) and (cleanup is None or callable(cleanup)):
            return HookResult(context, page, cleanup)
    raise TypeError(
        "setup_context must return None, a context, (context, page or None) or (context, page or None, cleanup)"
    )
