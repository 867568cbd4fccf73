"""CAPTCHA helpers without a solver: the waits run what they are given and then wait, the rest does nothing.

No solver is part of this platform, so no challenge is ever reported and no wait ever fails because of one. A project
that leaves these calls in its code runs as it would on a site without challenges.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Optional, TypeVar, Union, overload

from playwright.async_api import BrowserContext, Error, Page

CaptchaStatus = Literal["attached", "solving", "solved", "error", "detached"]
STATUSES = ("attached", "solving", "solved", "error", "detached")

Result = TypeVar("Result")
Wrapped = TypeVar("Wrapped", bound=Callable[..., Awaitable[Any]])


@dataclass
class CaptchaError:
    """Why a challenge could not be solved."""

    code: str
    error: Optional[str] = None


@dataclass(eq=False)
class Captcha:
    """One challenge in one tab; equal to another report of the same challenge."""

    id: str
    tab_id: int
    type: str
    status: CaptchaStatus
    error: Optional[CaptchaError] = None
    attempts: int = 0
    message: Optional[str] = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Captcha) and (self.id, self.tab_id) == (other.id, other.tab_id)

    def __hash__(self) -> int:
        return hash((self.id, self.tab_id))


CaptchaListener = Callable[[Captcha], Union[None, Awaitable[None]]]


@overload
def wait_for_captcha_solve(page: Page, timeout_s: float = 10.0, settle_period: float = 5.0) -> Awaitable[None]: ...
@overload
def wait_for_captcha_solve(
    *,
    page: Page,
    func: Callable[[], Awaitable[Result]],
    timeout_s: float = 10.0,
    settle_period: float = 5.0,
    wait_for_network_settled: bool = True,
) -> Awaitable[Result]: ...
@overload
def wait_for_captcha_solve(function: Wrapped, /) -> Wrapped: ...
@overload
def wait_for_captcha_solve(
    *, timeout_s: float = 10.0, settle_period: float = 5.0, wait_for_network_settled: bool = True
) -> Callable[[Wrapped], Wrapped]: ...
def wait_for_captcha_solve(*args: Any, **kwargs: Any) -> Any:
    """Wait until no challenge is being solved: on a page, after a function, or as a decorator."""
    if args and isinstance(args[0], Page):
        return _on_page(*args, **kwargs)
    if not args and "page" in kwargs and "func" not in kwargs:
        return _on_page(**kwargs)
    if not args and "func" in kwargs:
        return _after_function(**kwargs)
    if len(args) == 1 and not kwargs and inspect.iscoroutinefunction(args[0]):
        return _decorate(args[0])
    if not args and set(kwargs) <= {"timeout_s", "settle_period", "wait_for_network_settled"}:
        return lambda function: _decorate(function, **kwargs)
    raise ValueError("wait_for_captcha_solve takes a page, page= and func=, or decorates an async function")


def _on_page(page: Any, timeout_s: float = 10.0, settle_period: float = 5.0) -> Awaitable[None]:
    return _settle(_checked(page), timeout_s, settle_period, False)


def _after_function(
    *,
    page: Any = None,
    func: Any,
    timeout_s: float = 10.0,
    settle_period: float = 5.0,
    wait_for_network_settled: bool = True,
) -> Awaitable[Any]:
    return _run(_checked(page), func, timeout_s, settle_period, wait_for_network_settled)


def _decorate(
    function: Any, *, timeout_s: float = 10.0, settle_period: float = 5.0, wait_for_network_settled: bool = True
) -> Any:
    if not callable(function):
        raise ValueError("wait_for_captcha_solve decorates a function")

    @functools.wraps(function)
    async def waiting(*args: Any, **kwargs: Any) -> Any:
        page = next((one for one in args if isinstance(one, Page)), kwargs.get("page"))
        call = functools.partial(function, *args, **kwargs)
        return await _run(_checked(page), call, timeout_s, settle_period, wait_for_network_settled)

    return waiting


async def _run(page: Page, func: Any, timeout_s: float, settle_period: float, waits_for_network: bool) -> Any:
    result = await func()
    await _settle(page, timeout_s, settle_period, waits_for_network)
    return result


async def _settle(page: Page, timeout_s: float, settle_period: float, waits_for_network: bool) -> None:
    if waits_for_network:
        try:
            await page.wait_for_load_state("networkidle", timeout=timeout_s * 1000)
        except Error:
            pass  # a page that never rests is not a failure
    await asyncio.sleep(settle_period)


def _checked(page: Any) -> Page:
    if not isinstance(page, Page):
        raise ValueError("no page was given to wait_for_captcha_solve")
    return page


async def on_captcha_event(page: Page, status: CaptchaStatus, f: CaptchaListener) -> None:
    """Call `f` for every challenge of this tab that reaches the status; without a solver there is none."""
    _checked_status(status)


async def once_captcha_event(page: Page, status: CaptchaStatus, f: CaptchaListener) -> None:
    """The same, for the first one only."""
    _checked_status(status)


async def pause_captcha_solver(context: BrowserContext) -> None:
    """Stop solving automatically; without a solver nothing is solved anyway."""


async def resume_captcha_solver(context: BrowserContext) -> None:
    """Solve automatically again."""


def _checked_status(status: Any) -> None:
    if status not in STATUSES:
        raise ValueError(f"{status!r} is not a status of a challenge: {', '.join(STATUSES)}")


__all__ = [
    "Captcha",
    "CaptchaError",
    "on_captcha_event",
    "once_captcha_event",
    "pause_captcha_solver",
    "resume_captcha_solver",
    "wait_for_captcha_solve",
]
