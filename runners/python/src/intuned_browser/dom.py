"""wait_for_dom_settled: wait until a page or an element has stopped changing.

Not settling is an answer (False), not an error. Nested frames are waited for after the element, one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from playwright.async_api import ElementHandle, Locator, Page

from .frames import MAX_FRAME_DEPTH, nested_frames
from .page_scripts import page_script
from .sources import require_source
from .wrapping import decorate, result_of

NAME = "wait_for_dom_settled"

_log = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")


@overload
def wait_for_dom_settled(
    source: Page | Locator, *, settle_duration: float = 0.5, timeout_s: float = 30.0
) -> Awaitable[bool]: ...
@overload
def wait_for_dom_settled(
    *,
    source: Page | Locator,
    func: Callable[[], Awaitable[Result]],
    settle_duration: float = 0.5,
    timeout_s: float = 30.0,
) -> Awaitable[Result]: ...
@overload
def wait_for_dom_settled(function: Function, /) -> Function: ...
@overload
def wait_for_dom_settled(
    *, settle_duration: float = 0.5, timeout_s: float = 30.0
) -> Callable[[Function], Function]: ...
def wait_for_dom_settled(
    *positional: Any, source: Any = None, func: Any = None, settle_duration: float = 0.5, timeout_s: float = 30.0
) -> Any:
    """Direct (`source`), wrapper (`source=`, `func=`), bare decorator, or decorator with options."""

    async def around(on: Page | Locator, call: Callable[[], Any]) -> Any:
        result = await result_of(call)
        await settled(on, settle_duration, timeout_s)
        return result

    def decorator(function: Any) -> Any:
        if not callable(function):
            raise ValueError(f"{NAME} decorates functions, not {type(function).__name__}")
        return decorate(function, around, (Page, Locator), ("page", "source"), NAME)

    if source is None and func is None:
        if not positional:
            return decorator
        if len(positional) == 1 and isinstance(positional[0], (Page, Locator)):
            return settled(positional[0], settle_duration, timeout_s)
        if len(positional) == 1 and callable(positional[0]):
            return decorator(positional[0])
    elif not positional and source is not None:
        require_source(source, NAME)
        if func is None:
            return settled(source, settle_duration, timeout_s)
        if callable(func):
            return around(source, func)
    raise ValueError(
        f"{NAME} is called as {NAME}(source) or {NAME}(source=…, func=…), "
        f"or used as the decorator @{NAME} or @{NAME}(settle_duration=…)"
    )


async def settled(source: Page | Locator, settle_duration: float, timeout_s: float) -> bool:
    """True once nothing has changed for `settle_duration`; False when that did not happen within `timeout_s`.

    A locator that matches nothing, or several elements, raises what Playwright raises.
    """
    element = await source.element_handle() if isinstance(source, Locator) else None
    times = {"settleMs": settle_duration * 1000, "timeoutMs": timeout_s * 1000}
    try:
        if element is None:
            assert isinstance(source, Page)
            element = (await source.evaluate_handle("() => document.documentElement")).as_element()
        is_settled = element is not None and await _settled_below(element, times, 0)
    except Exception as error:  # noqa: BLE001 - a page that navigates or closes meanwhile has not settled
        _log.warning("waiting for the document to settle ended early: %s", error)
        return False
    if not is_settled:
        _log.warning("the document did not settle within %s s", timeout_s)
    return is_settled


async def _settled_below(element: ElementHandle, times: dict[str, float], depth: int) -> bool:
    if not await element.evaluate(page_script("dom-settled"), times):
        return False
    if depth == MAX_FRAME_DEPTH:
        return True
    for nested in await nested_frames(element):
        if not nested.is_live:
            continue
        root = (await nested.frame.evaluate_handle("() => document.documentElement")).as_element()
        if root is not None and not await _settled_below(root, times, depth + 1):
            return False
    return True
