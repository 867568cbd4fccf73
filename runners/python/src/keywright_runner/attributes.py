"""Attributes that user code attaches to a run, with the limits on them.

Every breach is a ValueError and changes nothing. The outcome carries them on
success and failure alike.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any, Union

from .protocol import to_json

AttributeValue = Union[str, int, float, bool, datetime, list[str]]

KEY = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,63}\Z")
MAX_TEXT = 255
MAX_ITEMS = 20
MAX_KEYS = 64
MAX_BYTES = 16 * 1024


class RunAttributes:
    """The attributes of one run."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def set(self, key: str, value: AttributeValue) -> None:
        """Set or replace one attribute."""
        _check_key(key)
        changed = {**self._values, key: _wire_value(key, value)}
        if len(changed) > MAX_KEYS:
            raise ValueError(f"a run can have at most {MAX_KEYS} attributes")
        size = len(to_json(changed))
        if size > MAX_BYTES:
            raise ValueError(f"the attributes of a run can take at most {MAX_BYTES} bytes, this would be {size}")
        self._values = changed

    def delete(self, key: str) -> None:
        """Remove one attribute; an unset one is fine."""
        _check_key(key)
        self._values.pop(key, None)

    def to_dict(self) -> dict[str, Any]:
        """A copy, in JSON's types."""
        return dict(self._values)


def _check_key(key: Any) -> None:
    if not isinstance(key, str) or not KEY.match(key):
        raise ValueError(f"{key!r} is not an attribute key: a letter, then at most 63 letters, digits or underscores")


def _wire_value(key: str, value: Any) -> Any:
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return _text(key, value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"attribute {key}: a number must be finite")
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise ValueError(f"attribute {key}: a datetime needs a time zone")
        return value.isoformat()
    if isinstance(value, list):
        if len(value) > MAX_ITEMS:
            raise ValueError(f"attribute {key}: a list can have at most {MAX_ITEMS} items")
        if not all(isinstance(item, str) for item in value):
            raise ValueError(f"attribute {key}: a list can hold strings only")
        return [_text(key, item) for item in value]
    raise ValueError(f"attribute {key}: {type(value).__name__} is not a type an attribute can have")


def _text(key: str, value: str) -> str:
    if len(value) > MAX_TEXT:
        raise ValueError(f"attribute {key}: a text can have at most {MAX_TEXT} characters")
    return value
