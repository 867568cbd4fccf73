"""`python -m keywright_runner <socket>`: connect to the worker and serve it.

Whatever ends the event loop ends the process through the lifeline, so that no
browser stays behind. User code that calls sys.exit ends the process with its code.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback

from . import base_site, console, processes
from .lifeline import Lifeline
from .link import Link
from .protocol import EXIT_OTHER

INTERRUPTED = 130


def main(arguments: list[str]) -> None:
    """Run the process; returns only for a usage error."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m keywright_runner <socket>\n")
        sys.exit(2)
    # `-m` puts the working directory, which user code can write, before everything else.
    here = os.getcwd()
    sys.path[:] = [entry for entry in sys.path if entry not in ("", here)]
    base_site.append()
    processes.adopt_orphans()
    lifeline = Lifeline()
    lifeline.watch_signals()
    lifeline.watch_parent()
    link = Link(arguments[0], lifeline)
    console.redirect()
    lifeline.leave(_serve(link, lifeline))


def _serve(link: Link, lifeline: Lifeline) -> int:
    try:
        from .runner import Runner  # imports playwright, which only now is certain to be on the path

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(Runner(link, lifeline).run())
    except SystemExit as error:
        return _exit_code(error.code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException:  # noqa: BLE001 - a defect of ours must leave a trace in the worker's log
        _tell(traceback.format_exc())
    return EXIT_OTHER


def _exit_code(code: object) -> int:
    """What the interpreter itself would make of a SystemExit."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    _tell(f"{code}\n")
    return EXIT_OTHER


def _tell(text: str) -> None:
    stderr = sys.__stderr__
    if stderr is not None:
        stderr.write(text)
        stderr.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
