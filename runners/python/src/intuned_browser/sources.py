"""Whether something is a Playwright page or locator. Real instance checks; everything else is refused by the caller."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page


def require_page(value: Any, function: str) -> Page:
    """The page. Raises ValueError for anything else."""
    if not isinstance(value, Page):
        raise ValueError(f"{function}: page must be a Playwright Page, not {type(value).__name__}")
    return value


def require_source(value: Any, function: str) -> Page | Locator:
    """The page or locator. Raises ValueError for anything else."""
    if not isinstance(value, (Page, Locator)):
        raise ValueError(f"{function}: source must be a Playwright Page or Locator, not {type(value).__name__}")
    return value
