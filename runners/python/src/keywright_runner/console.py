"""What user code prints becomes `log` messages.

`sys.stdout` and `sys.stderr` are replaced by text streams that cut at line ends;
`logging` without a configuration of the user's goes the same way with its level.
Which attempt a line belongs to is found through the context variable of the
scope, else (threads of the user) the attempt that is running. Outside an attempt
lines go to the real descriptors, where the worker keeps them as `process` lines.
Limits: 64 KiB a line, 10 MiB an attempt, then one line that says so.
If the process dies here, at most a line without its end is lost.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from typing import Any

from . import scope
from .link import Link
from .protocol import clean_text, cut_text

LINE_BYTES = 64 * 1024
ATTEMPT_BYTES = 10 * 1024 * 1024


class AttemptLog:
    """The log of one attempt: counts, cuts, sends."""

    def __init__(self, link: Link, attempt_id: str) -> None:
        self._link = link
        self._attempt_id = attempt_id
        self._left = ATTEMPT_BYTES
        self._closed = False
        self._lock = threading.Lock()
        self._partial: dict[tuple[str, int], tuple[str, str, bool]] = {}

    def text(self, stream: str, level: str, text: str) -> None:
        """Text without regard to lines; the rest after the last line end waits for more."""
        key = (stream, threading.get_ident())
        with self._lock:
            _, before, overlong = self._partial.pop(key, (level, "", False))
        if overlong:
            # The line was sent, cut; what follows up to its end is the part that was cut off.
            _, end, text = text.partition("\n")
            overlong = not end
        *lines, rest = (before + text).split("\n")
        if len(rest) > LINE_BYTES:
            lines, rest, overlong = [*lines, rest], "", True
        if rest or overlong:
            with self._lock:
                self._partial[key] = (level, rest, overlong)
        for line in lines:
            self.line(stream, level, line.rstrip("\r"))

    def line(self, stream: str, level: str, line: str) -> None:
        """One finished line."""
        message = cut_text(line, LINE_BYTES)
        with self._lock:
            if self._closed or self._left < 0:
                return
            self._left -= len(message.encode("utf-8"))
            if self._left < 0:
                stream, level = "stderr", "warn"
                message = f"the log of this attempt is over {ATTEMPT_BYTES // 1024 // 1024} MiB; the rest is not kept"
        self._link.send(
            {
                "type": "log",
                "attemptId": self._attempt_id,
                "timeMs": int(time.time() * 1000),
                "level": level,
                "stream": stream,
                "message": message,
            }
        )

    def flush(self) -> None:
        """Send the lines that never got their end."""
        with self._lock:
            partial, self._partial = self._partial, {}
        for (stream, _), (level, rest, _) in partial.items():
            if rest:
                self.line(stream, level, rest)

    def close(self) -> None:
        """Take no more lines: `done` is about to be sent."""
        self.flush()
        with self._lock:
            self._closed = True


class _Stream(io.BufferedIOBase):
    """The bytes below a replaced sys.stdout or sys.stderr."""

    def __init__(self, name: str, level: str, descriptor: int) -> None:
        self._stream_name = name
        self._level = level
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Any) -> int:
        data = bytes(data)
        log = scope.current_log()
        if log is None:
            with open(self._descriptor, "wb", buffering=0, closefd=False) as real:
                real.write(data)
        else:
            level = getattr(_record, "level", None) or self._level
            log.text(self._stream_name, level, data.decode("utf-8", "replace"))
        return len(data)


# The level of the logging record that is being written on this thread, if one is.
_record = threading.local()


def level_name(number: int) -> str:
    """The protocol's word for a level of `logging`."""
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


class _FallbackHandler(logging.Handler):
    """Where records go while the user has not configured logging."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        log = scope.current_log()
        for line in text.split("\n"):
            if log is not None:
                log.line("stderr", level_name(record.levelno), line)
            elif sys.__stderr__ is not None:
                sys.__stderr__.write(clean_text(line) + "\n")


def redirect() -> None:
    """Replace the streams of this process; once, before any user code."""
    for name, level, descriptor in (("stdout", "info", 1), ("stderr", "error", 2)):
        stream = io.TextIOWrapper(
            _Stream(name, level, descriptor),  # type: ignore[arg-type]
            encoding="utf-8",
            errors="backslashreplace",
            newline="\n",
            write_through=True,
        )
        setattr(sys, name, stream)
    fallback = _FallbackHandler(logging.DEBUG)
    fallback.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logging.lastResort = fallback  # type: ignore[assignment]
    # Not a handler on the root: then a user's basicConfig() would do nothing.
    logging.getLogger().setLevel(logging.INFO)
    _mark_levels()


def _mark_levels() -> None:
    """Lines that a user's own StreamHandler writes to stderr keep their record's level."""
    emit = logging.StreamHandler.emit

    def emit_marked(self: logging.StreamHandler[Any], record: logging.LogRecord) -> None:
        _record.level = level_name(record.levelno)
        try:
            emit(self, record)
        finally:
            _record.level = None

    logging.StreamHandler.emit = emit_marked  # type: ignore[method-assign]
