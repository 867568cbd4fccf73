"""The base environment behind a project's own.

A project with an environment of its own runs on that interpreter, and its packages win. What it lacks (the
runner's playwright, what the browser helpers need) comes from the base environment's site-packages, last on the path.
"""

from __future__ import annotations

import os
import sys


def append() -> None:
    """Add the folder the worker names, if it names one; before anything outside the standard library is imported."""
    folder = os.environ.get("KEYWRIGHT_BASE_SITE")
    if folder and folder not in sys.path:
        sys.path.append(folder)
