"""The browser state of an AuthSession: restored before user code, captured after it."""

from __future__ import annotations

from typing import Any

from playwright.async_api import BrowserContext, Page

from .console import AttemptLog


class StateKeeper:
    """The state of one context."""

    def __init__(self, log: AttemptLog) -> None:
        self._log = log

    async def restore(self, context: BrowserContext, page: Page | None, state: dict[str, Any] | None) -> None:
        if state and state.get("cookies"):
            await context.add_cookies(state["cookies"])

    async def capture(self, context: BrowserContext) -> dict[str, Any]:
        return {"version": 1, "cookies": await context.cookies(), "origins": []}
