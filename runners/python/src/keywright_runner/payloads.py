"""Extended payloads on their way out: checked, then cut into frames that fit.

Refused: an item without `api` or `parameters`, parameters that are not JSON, an item
too big for one frame. Sent only when the attempt succeeded; if the process
dies between two frames there is no `done`, and the worker drops them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .output import InvalidOutput, to_plain
from .protocol import MAX_FRAME_BYTES, Message, to_json

# Far enough below the frame's limit for the envelope, small enough not to stall other messages.
FRAME_BYTES = MAX_FRAME_BYTES // 2
ITEM_BYTES = MAX_FRAME_BYTES - 4096


def to_items(collected: list[Any]) -> list[dict[str, Any]]:
    """The collected payloads in wire form. Raises InvalidOutput."""
    items = []
    for number, payload in enumerate(collected):
        if not isinstance(payload, dict) or "api" not in payload or "parameters" not in payload:
            raise InvalidOutput(f"extended payload {number} needs the keys api and parameters")
        if not isinstance(payload["api"], str):
            raise InvalidOutput(f"the api of extended payload {number} is not a text")
        try:
            item = {"api": to_plain(payload["api"]), "parameters": to_plain(payload["parameters"])}
        except InvalidOutput as error:
            raise InvalidOutput(f"the parameters of extended payload {number}: {error}") from error
        if not isinstance(item["parameters"], dict):
            raise InvalidOutput(f"the parameters of extended payload {number} are not an object")
        items.append(item)
    return items


def to_frames(attempt_id: str, items: list[dict[str, Any]]) -> Iterator[Message]:
    """As many `payloads` messages as needed. Raises InvalidOutput for an item no frame can hold."""
    batch: list[dict[str, Any]] = []
    size = 0
    for number, item in enumerate(items):
        length = len(to_json(item)) + 1
        if length > ITEM_BYTES:
            raise InvalidOutput(f"extended payload {number} has {length} bytes, more than one message can hold")
        if batch and size + length > FRAME_BYTES:
            yield {"type": "payloads", "attemptId": attempt_id, "items": batch}
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield {"type": "payloads", "attemptId": attempt_id, "items": batch}
