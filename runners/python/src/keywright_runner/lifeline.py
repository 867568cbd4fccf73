"""How this process ends, whatever user code is doing.

`Lifeline.leave` is the only way out that counts: it kills the browser and every
other child, removes what they left in the slot's folder and ends the process
without running exit handlers. It is called from threads that do not need the
event loop: the socket's reader (EOF), the signal thread (TERM) and the parent watch.
A second caller finds the door taken and waits for the first; a timer ends the
process even if the first hangs.
"""

from __future__ import annotations

import os
import signal
import threading

from . import processes
from .protocol import EXIT_ORDERLY

# The protocol allows 2 s from EOF to the end; killing and deleting get most of it.
HARD_EXIT_SECONDS = 1.7
PARENT_LOOK_SECONDS = 0.5


class Lifeline:
    """The end of the process, taken once."""

    def __init__(self) -> None:
        self._taken = threading.Lock()
        self._wakeup: tuple[int, int] | None = None

    def leave(self, code: int) -> None:
        """End the process now. Never returns."""
        if not self._taken.acquire(blocking=False):
            threading.Event().wait()  # another thread is ending the process
        timer = threading.Timer(HARD_EXIT_SECONDS, os._exit, args=(code,))
        timer.daemon = True
        timer.start()
        try:
            processes.kill_descendants()
            processes.remove_browser_leftovers()
        finally:
            os._exit(code)

    def watch_signals(self) -> None:
        """TERM and INT end the process even while the main thread never reaches Python's signal check.

        The interpreter's C handler writes the signal's number into a pipe at once; a
        thread of ours reads it. User code that installs its own wakeup descriptor
        (asyncio's add_signal_handler does) takes this away; the worker's KILL remains.
        """
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        self._wakeup = (reader, writer)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._wait_for_signal, name="kw-signals", daemon=True).start()

    def _wait_for_signal(self) -> None:
        assert self._wakeup is not None
        while True:
            numbers = os.read(self._wakeup[0], 64)
            if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                self.leave(EXIT_ORDERLY)

    def watch_parent(self) -> None:
        """A worker that died without closing the socket (it was inherited) is noticed by its absence."""
        threading.Thread(target=self._wait_for_parent, args=(os.getppid(),), name="kw-parent", daemon=True).start()

    def _wait_for_parent(self, parent: int) -> None:
        never = threading.Event()
        while os.getppid() == parent:
            never.wait(PARENT_LOOK_SECONDS)
        self.leave(EXIT_ORDERLY)
