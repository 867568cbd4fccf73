"""filter_empty_values: data without what is empty. Pure; the input is not changed."""

from __future__ import annotations

from typing import Any, TypeVar

Data = TypeVar("Data")


def filter_empty_values(data: Data) -> Data:
    """New dicts and lists without None, blank text, empty lists and empty dicts, also those that became empty.

    Other types are neither entered nor removed, and the value at the top is never replaced by nothing.
    """
    return _filtered(data)


def _filtered(value: Any) -> Any:
    if isinstance(value, dict):
        kept = ((key, _filtered(item)) for key, item in value.items())
        return {key: item for key, item in kept if not _is_empty(item)}
    if isinstance(value, list):
        return [item for item in map(_filtered, value) if not _is_empty(item)]
    return value


def _is_empty(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, (list, dict)) and not value
