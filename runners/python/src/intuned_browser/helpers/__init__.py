"""The same names as `intuned_browser`, under the import path that older projects use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import intuned_browser

if TYPE_CHECKING:
    from intuned_browser import *  # noqa: F403

__all__ = list(intuned_browser.__all__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(intuned_browser, name)
