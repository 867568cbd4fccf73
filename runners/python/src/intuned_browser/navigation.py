"""go_to_url: navigate with several tries, then wait for the network to settle.

A navigation that fails is no error unless it was asked to be one: pages are judged by what is on them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from playwright.async_api import Page

from .network import settle
from .sources import require_page

SETTLE_TIMEOUT_SECONDS = 30
PAUSE_SECONDS = 2
# A navigation that does not even honour its own timeout is given up this much later.
WATCHDOG_SECONDS = 3

_log = logging.getLogger(__name__)


async def go_to_url(
    page: Page,
    url: str,
    *,
    timeout_s: float = 30,
    retries: int = 3,
    wait_for_load_state: Literal["commit", "domcontentloaded", "load", "networkidle"] = "load",
    throw_on_timeout: bool = False,
    wait_for_load_using_ai: bool = False,
    model: str = "gpt-5-mini-2025-08-07",
    api_key: str | None = None,
) -> None:
    """Navigate to an absolute url; `retries` is the number of tries in all, each with twice the time of the one before.

    HTTP status is not looked at. After the last failure the error is raised only with `throw_on_timeout`, and then
    whatever its kind. `wait_for_load_using_ai` never fails a navigation; this version cannot ask a model and says so.
    """
    del model, api_key
    require_page(page, "go_to_url")

    async def navigate() -> None:
        await _navigate(page, url, timeout_s, retries, wait_for_load_state, throw_on_timeout)
        if wait_for_load_using_ai:
            _log.warning("go_to_url did not ask a model whether %s has loaded: this version has no AI gateway", url)

    await settle(page, navigate, SETTLE_TIMEOUT_SECONDS, 0)


async def _navigate(
    page: Page,
    url: str,
    timeout_s: float,
    retries: int,
    load_state: Literal["commit", "domcontentloaded", "load", "networkidle"],
    throw_on_timeout: bool,
) -> None:
    for number in range(retries):
        seconds = timeout_s * 2**number
        try:
            await _go(page, url, seconds, load_state)
            return
        except Exception as error:  # noqa: BLE001 - every failure of a navigation is a failed try
            _log.warning("try %s of %s to open %s failed: %s", number + 1, retries, url, error)
            await asyncio.sleep(PAUSE_SECONDS)
            if number + 1 == retries:
                _log.error("%s could not be opened in %s tries", url, retries)
                if throw_on_timeout:
                    raise


async def _go(
    page: Page, url: str, seconds: float, load_state: Literal["commit", "domcontentloaded", "load", "networkidle"]
) -> None:
    try:
        await asyncio.wait_for(
            page.goto(url, timeout=seconds * 1000, wait_until=load_state), seconds + WATCHDOG_SECONDS
        )
    except asyncio.TimeoutError as error:
        raise asyncio.TimeoutError(
            f"opening {url} hung for {seconds + WATCHDOG_SECONDS} s; a proxy may help if the site is not reachable from here"
        ) from error
