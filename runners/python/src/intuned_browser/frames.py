"""The nested frames below an element that carry content, in document order.

Captchas, trackers and frames of at most one pixel are left out. At most MAX_FRAMES are entered per element, and
MAX_FRAME_DEPTH levels, so that a page which nests frames without end cannot hold a helper for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from playwright.async_api import ElementHandle, Frame

from .page_scripts import page_script

MAX_FRAMES = 100
MAX_FRAME_DEPTH = 8


@dataclass(frozen=True)
class NestedFrame:
    """An iframe element and the frame in it; `is_live` when scripts may run there."""

    element: ElementHandle
    frame: Frame
    is_live: bool


async def nested_frames(root: ElementHandle) -> list[NestedFrame]:
    """The content frames directly below the element (not those inside other frames)."""
    found = []
    for element in (await root.query_selector_all("iframe, frame"))[:MAX_FRAMES]:
        kind = await element.evaluate(page_script("content-frames"))
        frame = await element.content_frame()
        if kind != "skip" and frame is not None:
            found.append(NestedFrame(element, frame, kind == "live"))
    return found


async def root_element(frame: Frame) -> ElementHandle | None:
    """The frame's body, or its root element when it has none."""
    handle = await frame.evaluate_handle("() => document.body ?? document.documentElement")
    return handle.as_element()
