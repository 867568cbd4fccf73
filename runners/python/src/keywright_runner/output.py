"""The strict JSON form of what user code returns.

Accepted: None, bool, finite numbers, text, lists and tuples, dicts, pydantic models
(by alias, JSON mode). Refused with a sentence that says where: NaN and Infinity, lone
surrogates, cycles, more than 100 levels, everything else.
Pure; nothing is lost if the process dies here.
"""

from __future__ import annotations

import math
from typing import Any

MAX_DEPTH = 100
# Beyond the largest double no reader can hold the number.
MAX_INTEGER = 2**1024


class InvalidOutput(Exception):
    """The value is not JSON."""


def to_plain(value: Any, where: str = "the result") -> Any:
    """The value in dicts, lists and scalars only; `where` is what messages call it. Raises InvalidOutput."""
    return _plain(value, where, 0, [])


def _plain(value: Any, where: str, depth: int, path: list[int]) -> Any:
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, int):
        if abs(value) >= MAX_INTEGER:
            raise InvalidOutput(f"{where} is an integer too large for JSON")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidOutput(f"{where} is {float(value)!r}, which is not JSON")
        return float(value)
    if id(value) in path:
        raise InvalidOutput(f"{where} contains itself")
    if depth >= MAX_DEPTH:
        raise InvalidOutput(f"a value is nested deeper than {MAX_DEPTH} levels")
    path.append(id(value))
    try:
        if isinstance(value, dict):
            return {
                _key(key, where): _plain(item, f"{where}[{key!r:.80}]", depth + 1, path) for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [_plain(item, f"{where}[{index}]", depth + 1, path) for index, item in enumerate(value)]
        if callable(getattr(type(value), "model_dump", None)):
            return _plain(_dump_model(value, where), where, depth, path)
    finally:
        path.pop()
    raise InvalidOutput(f"{where} is of type {type(value).__name__}, which is not JSON")


def _dump_model(value: Any, where: str) -> Any:
    try:
        return value.model_dump(mode="json", by_alias=True)
    except Exception as error:  # noqa: BLE001 - the model's own serialisers may raise anything
        raise InvalidOutput(f"{where} could not be dumped: {type(error).__name__}: {error}") from error


def _key(key: Any, where: str) -> str:
    """The key as JSON writes it; the same keys are accepted that `json.dumps` accepts."""
    if isinstance(key, str):
        return _text(key, f"a key of {where}")
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int) and abs(key) < MAX_INTEGER:
        return int.__repr__(key)
    if isinstance(key, float) and math.isfinite(key):
        return float.__repr__(key)
    raise InvalidOutput(f"a key of {where} is of type {type(key).__name__}, which is not JSON")


def _text(value: str, where: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidOutput(f"{where} holds a lone surrogate, which is not JSON") from None
    return str.__str__(value)
