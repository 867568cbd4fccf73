"""wait_for_network_settled: run something, then wait until the page's requests have been answered.

Settled means: at two moments SAMPLE_SECONDS apart not more than the allowed number of requests was in flight. Only
requests of this page (its frames included) that began after the call started count. Reaching the limit is no error:
the result is returned all the same. The listeners of the call are removed in every case.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from playwright.async_api import Page, Request

from .sources import require_page
from .wrapping import decorate, result_of

SAMPLE_SECONDS = 0.5
NAME = "wait_for_network_settled"

_log = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")


@overload
def wait_for_network_settled(
    *, page: Page, func: Callable[[], Awaitable[Result]], timeout_s: float = 30, max_inflight_requests: int = 0
) -> Awaitable[Result]: ...
@overload
def wait_for_network_settled(function: Function, /) -> Function: ...
@overload
def wait_for_network_settled(
    *, timeout_s: float = 30, max_inflight_requests: int = 0
) -> Callable[[Function], Function]: ...
def wait_for_network_settled(
    *functions: Any, page: Any = None, func: Any = None, timeout_s: float = 30, max_inflight_requests: int = 0
) -> Any:
    """Wrapper (`page=`, `func=`), bare decorator, or decorator with options. Any other shape raises ValueError."""

    async def around(on: Page, call: Callable[[], Any]) -> Any:
        return await settle(on, call, timeout_s, max_inflight_requests)

    def decorator(function: Any) -> Any:
        if not callable(function):
            raise ValueError(f"{NAME} decorates functions, not {type(function).__name__}")
        return decorate(function, around, (Page,), ("page",), NAME)

    if page is None and func is None:
        if not functions:
            return decorator
        if len(functions) == 1 and callable(functions[0]):
            return decorator(functions[0])
    elif not functions and page is not None and callable(func):
        return around(require_page(page, NAME), func)
    raise ValueError(
        f"{NAME} is called as {NAME}(page=…, func=…), or used as the decorator @{NAME} or @{NAME}(timeout_s=…)"
    )


class _InFlight:
    """The requests of a page that have begun since, and have not ended."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._requests: set[Request] = set()
        self._changed = asyncio.Event()

    def __enter__(self) -> _InFlight:
        self._page.on("request", self._began)
        self._page.on("requestfinished", self._ended)
        self._page.on("requestfailed", self._ended)
        self._page.on("close", self._page_closed)
        return self

    def __exit__(self, *_: object) -> None:
        self._page.remove_listener("request", self._began)
        self._page.remove_listener("requestfinished", self._ended)
        self._page.remove_listener("requestfailed", self._ended)
        self._page.remove_listener("close", self._page_closed)

    def count(self) -> int:
        return len(self._requests)

    async def change(self) -> None:
        """Wait until a request has ended."""
        self._changed.clear()
        await self._changed.wait()

    def _began(self, request: Request) -> None:
        self._requests.add(request)

    def _ended(self, request: Request) -> None:
        self._requests.discard(request)
        self._changed.set()

    def _page_closed(self, _page: Page) -> None:
        # Nobody tells how the requests of a closed page end.
        self._requests.clear()
        self._changed.set()


async def settle(page: Page, call: Callable[[], Any], timeout_s: float, max_inflight_requests: int) -> Any:
    """The function's result, once the network has settled after it. What the function raises passes at once."""
    with _InFlight(page) as in_flight:
        result = await result_of(call)
        await asyncio.sleep(SAMPLE_SECONDS)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            if in_flight.count() <= max_inflight_requests:
                await asyncio.sleep(SAMPLE_SECONDS)
                if in_flight.count() <= max_inflight_requests:
                    return result
            remaining = deadline - loop.time()
            if remaining <= 0:
                break
            try:
                await asyncio.wait_for(in_flight.change(), remaining)
            except asyncio.TimeoutError:
                break
        await asyncio.sleep(SAMPLE_SECONDS)
        _log.debug("the network of %s did not settle within %s s", page.url, timeout_s)
        return result
