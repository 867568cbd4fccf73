"""The Playwright trace of an attempt; complete before `done` is sent.

A trace that cannot be written never fails the attempt: the file is removed and the
worker finds none. Stopping twice is fine.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Error


class Trace:
    """At most one trace, of one context."""

    def __init__(self, spec: dict[str, Any] | None) -> None:
        self._spec = spec
        self._context: BrowserContext | None = None

    async def start(self, context: BrowserContext) -> None:
        """Begin, if a trace was asked for."""
        if self._spec is None:
            return
        await context.tracing.start(
            screenshots=bool(self._spec.get("screenshots", True)),
            snapshots=bool(self._spec.get("snapshots", True)),
            sources=bool(self._spec.get("sources", True)),
        )
        self._context = context

    async def move(self, context: BrowserContext) -> None:
        """Trace another context instead: the hook brought one."""
        before, self._context = self._context, None
        if before is not None:
            await before.tracing.stop()
        await self.start(context)

    async def stop(self, seconds: float | None) -> None:
        """Write the file, in at most `seconds`."""
        context, self._context = self._context, None
        if context is None or self._spec is None:
            return
        path = Path(self._spec["path"])
        try:
            await asyncio.wait_for(context.tracing.stop(path=path), seconds)
        except (Error, OSError, asyncio.TimeoutError):
            path.unlink(missing_ok=True)
