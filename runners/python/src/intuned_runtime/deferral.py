"""`@deferred_browser`: a function that asks for its page when it needs one.

The function is only marked. It is called with `ensure_browser` instead of a page; the slot's browser is
warm by then, so nothing is saved by deferring, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from keywright_runner.entries import DEFERRED_MARK
from playwright.async_api import BrowserContext, Page

Function = TypeVar("Function", bound=Callable[..., Awaitable[Any]])


class EnsureBrowserFunction(Protocol):
    """The type of the `ensure_browser` argument; every call gives the same pair."""

    async def __call__(self) -> tuple[BrowserContext, Page]: ...


def deferred_browser(function: Function) -> Function:
    """Mark an async automation as one that takes `ensure_browser` and no page."""
    setattr(function, DEFERRED_MARK, True)
    return function
