"""`attempt_store`, memory of one attempt, and `persistent_store`, kept across runs by the platform.

attempt_store takes any object under any key and is gone with the attempt. persistent_store takes JSON under keys
without `:` and `#`; each call is one question to the worker, and the last writer wins.
"""

from __future__ import annotations

from typing import Any

from keywright_runner.calls import Calls
from keywright_runner.output import InvalidOutput, to_plain
from keywright_runner.scope import IntunedContext


class AttemptStore:
    """Set by the hook, read by the function, gone afterwards."""

    def get(self, key: str, default: Any = None) -> Any:
        """What was stored, the same object; else the default."""
        return IntunedContext.current().store.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Store an object."""
        IntunedContext.current().store[key] = value


class PersistentStore:
    """The project's key-value store."""

    async def get(self, key: str) -> Any:
        """The stored value, or None."""
        _check_key(key)
        answer = await _calls().ask("kv.get", {"key": key})
        return answer.get("value") if answer.get("found") else None

    async def set(self, key: str, value: Any) -> None:
        """Store a JSON value; pydantic models are dumped. Raises TypeError for anything else."""
        _check_key(key)
        calls = _calls()
        try:
            plain = to_plain(value, "the value")
        except InvalidOutput as error:
            raise TypeError(str(error)) from error
        await calls.ask("kv.set", {"key": key, "value": plain})


def _check_key(key: Any) -> None:
    if not isinstance(key, str) or not key:
        raise ValueError("a key of persistent_store is a text of at least one character")
    if ":" in key or "#" in key:
        raise ValueError(f"a key of persistent_store has no ':' and no '#': {key!r}")


def _calls() -> Calls:
    platform = IntunedContext.current().platform
    if platform is None:
        raise Exception("persistent_store needs the platform: this code runs outside of it")
    return platform.calls


attempt_store = AttemptStore()
persistent_store = PersistentStore()
