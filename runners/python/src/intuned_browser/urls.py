"""resolve_url: an absolute url from a relative one, or from a link on the page."""

from __future__ import annotations

from typing import overload
from urllib.parse import quote, urljoin, urlparse, urlsplit

from playwright.async_api import Locator, Page

from .sources import require_page


@overload
async def resolve_url(*, url: str, base_url: str) -> str: ...
@overload
async def resolve_url(*, url: str, page: Page) -> str: ...
@overload
async def resolve_url(*, url: Locator) -> str: ...
async def resolve_url(*, url: str | Locator, base_url: str | None = None, page: Page | None = None) -> str:
    """The absolute url.

    A locator must be an `<a>`; its `href` as the browser resolves it is returned. A text that has scheme and host is
    returned as it is. Otherwise it is joined to `base_url`, or to the root of the page's site (not to the page's
    path), and what is not allowed in a path or query is percent-encoded.
    """
    if isinstance(url, Locator):
        if base_url is not None or page is not None:
            raise ValueError("resolve_url: a locator is resolved by itself, without base_url or page")
        return await _href_of(url)
    if not isinstance(url, str):
        raise TypeError(f"resolve_url: url must be a str or a Locator, not {type(url).__name__}")
    if (base_url is None) == (page is None):
        raise ValueError("resolve_url: give either base_url or page")
    if base_url is None:
        at = urlsplit(require_page(page, "resolve_url").url)
        base_url = f"{at.scheme}://{at.netloc}"
    return _join(base_url, url)


async def _href_of(link: Locator) -> str:
    name, href = await link.evaluate("(element) => [element.localName, element.href]")
    if name != "a":
        raise ValueError(f"resolve_url: the locator must be an <a> element, not <{name}>")
    return str(href)


def _join(base_url: str, url: str) -> str:
    given = urlsplit(url)
    if given.scheme and given.netloc:
        return url
    joined = urlparse(urljoin(base_url, url))
    return joined._replace(path=quote(joined.path, safe="/%"), query=quote(joined.query, safe="=&%")).geturl()
