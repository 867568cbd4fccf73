"""Who the run is, with whose login it runs, and what it says about itself."""

from __future__ import annotations

from typing import Any, Optional

from keywright_runner.attributes import AttributeValue
from keywright_runner.scope import IntunedContext, IntunedRunContext


def run_info() -> Optional[IntunedRunContext]:
    """The ids of the run; None only in a context that a test made without them."""
    return IntunedContext.current().run_context


async def get_auth_session_parameters() -> Any:
    """The parameters the current AuthSession was created with. Raises Exception when the run has none."""
    ask = IntunedContext.current().get_auth_session_parameters
    if ask is None:
        raise Exception("auth session parameters are not available: this run has no auth session")
    return await ask()


def set_attribute(key: str, value: AttributeValue) -> None:
    """Attach an attribute to the run, reported on success and failure. Raises ValueError beyond the limits."""
    IntunedContext.current().attributes.set(key, value)


def delete_attribute(key: str) -> None:
    """Take an attribute off the run; an unset one is fine."""
    IntunedContext.current().attributes.delete(key)
