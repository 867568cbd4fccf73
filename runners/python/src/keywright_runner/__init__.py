"""The Python runner: one process that holds one project's code and one browser.

The wire it speaks is `runners/PROTOCOL.md`. The core needs the standard library
and playwright only; what user code imports lives in the shims beside it.
"""

PROTOCOL_VERSION = 1
