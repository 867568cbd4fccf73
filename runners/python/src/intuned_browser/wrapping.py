"""The decorator forms that the settle waits share: bare, with options, and where a decorated function's page comes from.

Pure plumbing; what is waited for is the caller's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

# (what the function was given, a call without arguments) -> the function's result
Around = Callable[[Any, Callable[[], Any]], Awaitable[Any]]


async def result_of(call: Callable[[], Any]) -> Any:
    """The result of a function that is async or returns an awaitable."""
    value = call()
    return await value if inspect.isawaitable(value) else value


def decorate(
    function: Callable[..., Any], around: Around, kinds: tuple[type, ...], keywords: tuple[str, ...], name: str
) -> Callable[..., Any]:
    """The function with `around` about every call.

    The page (or locator) is the first positional argument of one of the kinds, else one of the keywords.
    Calling without one raises ValueError.
    """

    @functools.wraps(function)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        given = [*args, *(kwargs[keyword] for keyword in keywords if keyword in kwargs)]
        found = next((value for value in given if isinstance(value, kinds)), None)
        if found is None:
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{name}: {function.__name__} was called without a {wanted}")
        return await around(found, lambda: function(*args, **kwargs))

    return wrapped
