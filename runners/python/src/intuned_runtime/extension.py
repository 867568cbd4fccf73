"""More work and more time: `extend_payload` and `extend_timeout`.

Payloads are collected in memory, checked when the function has returned, and reported only if the attempt succeeds.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict, Union

from keywright_runner.scope import IntunedContext

# Kept until done, as the event loop itself holds tasks weakly.
_extensions: set[asyncio.Task[None]] = set()


class Payload(TypedDict):
    """One further run: `api` is the API's name without `api/`."""

    api: str
    parameters: dict[str, Any]


def extend_payload(*payload: Union[Payload, list[Payload]]) -> None:
    """Ask for further runs, in this order; also asks for more time."""
    context = IntunedContext.current()
    for one in payload:
        if isinstance(one, list):
            context.extended_payloads.extend(one)
        else:
            context.extended_payloads.append(one)
    extend_timeout()


def extend_timeout() -> None:
    """Start the attempt's time anew. Returns at once; sent at most once a second. Without a platform it does nothing."""
    context = IntunedContext.current()
    if context.platform is not None:
        context.platform.extend()
    elif context.extend_timeout is not None:
        task = asyncio.get_running_loop().create_task(_await(context.extend_timeout()))
        _extensions.add(task)
        task.add_done_callback(_extensions.discard)


async def _await(extension: Any) -> None:
    await extension
