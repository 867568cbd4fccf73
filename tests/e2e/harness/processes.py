"""Who is alive: the descendants of a process and everybody who mentions a folder on their command line or environment."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path


def mentioning(text: str) -> list[str]:
    """The processes, other than this one, that carry `text` in their command line, working folder or environment."""
    return matching(re.compile(re.escape(text)))


def matching(pattern: re.Pattern[str]) -> list[str]:
    """The same for whatever fits a pattern."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            seen = command + (entry / "environ").read_bytes().decode("utf-8", "replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if pattern.search(seen) and state != "Z":
            found.append(f"{entry.name} {command[:200]}")
    return found


def wait_until_none_mention(text: str, seconds: float) -> list[str]:
    """Waits until nobody mentions `text`; whoever still does after `seconds`."""
    deadline = time.monotonic() + seconds
    while (left := mentioning(text)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
