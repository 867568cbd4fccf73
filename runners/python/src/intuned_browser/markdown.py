"""extract_markdown: a page or an element as markdown, nested frames included.

The conversion itself is a script that runs in the page; this file walks the frames.
"""

from __future__ import annotations

from playwright.async_api import ElementHandle, Locator, Page

from .frames import MAX_FRAME_DEPTH, nested_frames, root_element
from .page_scripts import page_script
from .sources import require_source


async def extract_markdown(source: Page | Locator) -> str:
    """The markdown of a page's body, or of the one element that a locator matches."""
    require_source(source, "extract_markdown")
    if isinstance(source, Locator):
        return await _markdown(await source.element_handle(), 0)
    root = await root_element(source.main_frame)
    return "" if root is None else await _markdown(root, 0)


async def _markdown(root: ElementHandle, depth: int) -> str:
    frames = []
    if depth < MAX_FRAME_DEPTH:
        for nested in await nested_frames(root):
            inner = await root_element(nested.frame)
            if inner is not None:
                frames.append({"frame": nested.element, "markdown": await _markdown(inner, depth + 1)})
    return str(await root.evaluate(page_script("markdown"), frames))
