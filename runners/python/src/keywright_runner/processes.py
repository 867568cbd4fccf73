"""The tree of processes below this one: find it, end it.

Linux only: it reads /proc. `adopt_orphans` makes this process the one that
orphans below it are handed to, so a helper that daemonised itself is still found.
If the process dies in the middle, the worker's own kill of the whole tree ends the rest.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
BROWSER_PROFILE_PREFIXES = ("playwright_", "playwright-", "pw-", "org.chromium.", ".org.chromium.")


def adopt_orphans() -> None:
    """Become the reaper of everything started below this process; failure is harmless."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass


def descendants(root: int) -> list[int]:
    """Every process below `root`, nearest first; zombies are left out."""
    children = _by_parent()
    found: list[int] = []
    queue = list(children.get(root, ()))
    while queue:
        pid = queue.pop(0)
        found.append(pid)
        queue.extend(children.get(pid, ()))
    return found


def children(root: int) -> set[int]:
    """The processes right below `root`, adopted orphans included."""
    return set(_by_parent().get(root, ()))


def _by_parent() -> dict[int, list[int]]:
    """Every living process, by its parent."""
    found: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # ended while we looked
        # The command between brackets may itself hold brackets and blanks.
        fields = stat.rpartition(")")[2].split()
        if fields[0] != "Z":
            found.setdefault(int(fields[1]), []).append(int(entry))
    return found


def kill_descendants(seconds: float = 1.0) -> bool:
    """KILL everything below this process; true when nothing was left in time."""
    deadline = time.monotonic() + seconds
    while True:
        pids = descendants(os.getpid())
        if not pids:
            return True
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)  # the kernel needs a moment to turn them into zombies


def remove_browser_leftovers() -> None:
    """Delete profile and download folders that a killed browser could not delete.

    Only inside the slot's own folder: elsewhere a neighbour's would go too.
    """
    slot = os.environ.get("KEYWRIGHT_SLOT_DIR")
    if not slot or Path(tempfile.gettempdir()).resolve() != Path(slot).resolve():
        return
    for entry in Path(slot).iterdir():
        if entry.name.startswith(BROWSER_PROFILE_PREFIXES):
            shutil.rmtree(entry, ignore_errors=True)
