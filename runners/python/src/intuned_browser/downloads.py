"""download_file: trigger a download and wait for it.

The trigger is a url, a locator or element to click, or a function. Every failure is Playwright's TimeoutError with a
text that names the trigger. A page opened for the download is closed in every case.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Union
from urllib.parse import urlsplit

from playwright.async_api import Download, ElementHandle, Error, Locator, Page, Response
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from .mode import is_authoring
from .page_scripts import page_script
from .sources import require_page
from .urls import resolve_url

Trigger = Union[str, Locator, ElementHandle, Callable[[Page], Union[None, Awaitable[None]]]]

# The download event may come this much after the time given for the trigger.
GRACE_SECONDS = 1
PRINT_SECONDS = 1
NOT_FOUND = re.compile(r"\b(404|not found|no longer (exists|available)|does ?n[o']t exist)\b", re.IGNORECASE)

CLICK_DOWNLOAD_LINK = """({ href, name }) => {
  const link = document.createElement("a");
  link.href = href;
  link.download = name;
  document.documentElement.append(link);
  link.click();
  link.remove();
}"""
SAVE_BYTES = """({ base64, name }) => {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: "application/pdf" }));
  link.download = name;
  document.documentElement.append(link);
  link.click();
  link.remove();
}"""

_log = logging.getLogger(__name__)


async def download_file(page: Page, trigger: Trigger, *, timeout_s: float = 5) -> Download:
    """The first download of the page after the trigger.

    A url is opened in a page of its own; relative urls are resolved by a link of the page that has exactly this
    `href`, else against the site's root. If a click or function asks to print, the page is downloaded as `print.pdf`.
    """
    require_page(page, "download_file")
    if isinstance(trigger, str):
        download = await _download_url(page, trigger, timeout_s)
    else:
        download = await _download_from(page, trigger, timeout_s)
    if is_authoring():
        await download.cancel()
    return download


async def _download_url(page: Page, url: str, timeout_s: float) -> Download:
    address = await _address(page, url)
    if not urlsplit(address).scheme or " " in address:
        _log.warning("%s does not look like a url that could be downloaded", address)
    helper = await page.context.new_page()
    try:
        return await _first_download(helper, lambda: _open(helper, address, timeout_s), timeout_s)
    except PlaywrightTimeoutError as error:
        hint = "; the page looks like a “not found” page" if await _looks_not_found(helper) else ""
        raise PlaywrightTimeoutError(f"{url} started no download within {timeout_s} s{hint}") from error
    finally:
        await helper.close()


async def _address(page: Page, url: str) -> str:
    # The text goes in as an argument, so that nothing in it can be taken for a selector.
    href = await page.evaluate(
        """(url) => {
          const links = [...document.querySelectorAll("a[href]")].filter((link) => link.getAttribute("href") === url);
          return links.length === 1 ? links[0].href : null;
        }""",
        url,
    )
    return str(href) if href else await resolve_url(url=url, page=page)


async def _open(page: Page, address: str, timeout_s: float) -> None:
    try:
        answer: Response | None = await page.goto(address, timeout=timeout_s * 1000, wait_until="load")
    except Error as error:
        # A download aborts the navigation that led to it.
        _log.debug("opening %s for a download: %s", address, error)
        return
    if answer is not None and (answer.headers.get("content-type") or "").startswith("image/"):
        name = urlsplit(address).path.rsplit("/", 1)[-1]
        await page.evaluate(CLICK_DOWNLOAD_LINK, {"href": address, "name": name})


async def _download_from(page: Page, trigger: Any, timeout_s: float) -> Download:
    async def pull() -> None:
        await page.evaluate(page_script("print-watch"))
        if isinstance(trigger, (Locator, ElementHandle)):
            await trigger.click(timeout=timeout_s * 1000)
        elif callable(trigger):
            value = trigger(page)
            if asyncio.iscoroutine(value):
                await value
        else:
            # No trigger at all: what is left is the wait.
            return
        if await _asked_to_print(page):
            document = base64.b64encode(await page.pdf(format="A4")).decode()
            await page.evaluate(SAVE_BYTES, {"base64": document, "name": "print.pdf"})

    try:
        return await _first_download(page, pull, timeout_s)
    except Exception as error:  # noqa: BLE001 - whatever the trigger raised, no download came of it
        raise PlaywrightTimeoutError(f"{_name_of(trigger)} started no download within {timeout_s} s: {error}") from error


async def _first_download(page: Page, pull: Callable[[], Awaitable[None]], timeout_s: float) -> Download:
    """The page's first download; one that came is kept even if the trigger failed afterwards."""

    def in_popup(popup: Page) -> None:
        popup.on("download", lambda _: _log.warning("a download began in a popup; only those of the page itself count"))

    page.on("popup", in_popup)
    try:
        async with page.expect_download(timeout=(timeout_s + GRACE_SECONDS) * 1000) as coming:
            try:
                await pull()
            except Exception:
                if not coming.is_done():
                    raise
        return await coming.value
    finally:
        page.remove_listener("popup", in_popup)


async def _asked_to_print(page: Page) -> bool:
    try:
        await page.wait_for_function("() => window.__keywrightPrinted === true", timeout=PRINT_SECONDS * 1000)
    except Error:
        return False
    return True


async def _looks_not_found(page: Page) -> bool:
    try:
        text = await page.evaluate("() => `${document.title} ${document.body?.innerText ?? ''}`.slice(0, 10000)")
    except Error:
        return False
    return NOT_FOUND.search(text) is not None


def _name_of(trigger: Any) -> str:
    if isinstance(trigger, (Locator, ElementHandle)):
        return f"clicking {trigger}"
    if callable(trigger):
        return f"the function {getattr(trigger, '__name__', type(trigger).__name__)}"
    return f"a trigger of type {type(trigger).__name__}"
