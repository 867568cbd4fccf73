"""Cookies between a state and a context, through CDP, so that no field depends on the project's Playwright.

A cookie the browser refuses is left out with a warning. A cookie in an opaque partition cannot be set again, so it is not kept.
"""

from __future__ import annotations

from typing import Any

from playwright.async_api import CDPSession, Error


async def read_cookies(session: CDPSession) -> list[dict[str, Any]]:
    """Every cookie of the page's context."""
    found = (await session.send("Network.getAllCookies"))["cookies"]
    return [_to_state(cookie) for cookie in found if not cookie.get("partitionKeyOpaque")]


async def write_cookies(session: CDPSession, cookies: list[dict[str, Any]]) -> list[str]:
    """Set them all; the warnings."""
    if not cookies:
        return []
    wanted = [_to_browser(cookie) for cookie in cookies]
    try:
        await session.send("Network.setCookies", {"cookies": wanted})
        return []
    except Error:
        pass  # one bad cookie fails the whole call: find out which
    warnings = []
    for cookie in wanted:
        try:
            await session.send("Network.setCookies", {"cookies": [cookie]})
        except Error:
            warnings.append(f"the browser refused the cookie {cookie['name']} of {cookie['domain']}")
    return warnings


def _to_state(cookie: dict[str, Any]) -> dict[str, Any]:
    kept = {name: cookie[name] for name in ("name", "value", "domain", "path", "expires", "httpOnly", "secure")}
    for name in ("sameSite", "partitionKey"):
        if cookie.get(name):
            kept[name] = cookie[name]
    return kept


def _to_browser(cookie: dict[str, Any]) -> dict[str, Any]:
    wanted = {name: cookie[name] for name in ("name", "value", "domain", "path", "httpOnly", "secure") if name in cookie}
    if cookie.get("expires", -1) > 0:
        wanted["expires"] = cookie["expires"]
    for name in ("sameSite", "partitionKey"):
        if cookie.get(name):
            wanted[name] = cookie[name]
    return wanted
