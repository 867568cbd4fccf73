"""The scripts that helpers evaluate in pages; the Node runner evaluates the very same files.

They lie in the folder named by KEYWRIGHT_SHARED, or beside this source tree.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def page_script(name: str) -> str:
    """The source of one script: a JavaScript function expression."""
    named = os.environ.get("KEYWRIGHT_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared"
    return (folder / f"{name}.js").read_text(encoding="utf-8").strip()
