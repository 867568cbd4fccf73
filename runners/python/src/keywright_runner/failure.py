"""How an attempt fails: the error of a `done` message.

Exceptions of user code become `user-error` with their class, message and a stack
without the runner's own frames, paths relative to the project. Sizes are capped so
that the frame always fits. Pure.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from .protocol import NOT_FOUND, RESULT_TOO_BIG, USER_ERROR, cut_text

MAX_TEXT_BYTES = 64 * 1024
OWN_FOLDER = str(Path(__file__).parent) + "/"
NEVER_AGAIN = frozenset({NOT_FOUND, RESULT_TOO_BIG})


class AttemptFailed(Exception):
    """The attempt ends with this code; raised by the runner, never by user code."""

    def __init__(self, code: str, message: str, cause: BaseException | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.cause = cause
        # Where in the file the message speaks of, for the check of a deployment.
        self.line = line


class NonRetryableError(Exception):
    """Raised by user code to end the run without another attempt."""


class RunError(Exception):
    """An error of user code that says itself whether another attempt makes sense."""

    def __init__(self, message: str = "", *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


def of_failure(failed: AttemptFailed) -> dict[str, Any]:
    """The wire form of a failure that the runner found."""
    error: dict[str, Any] = {
        "code": failed.code,
        "message": cut_text(str(failed), MAX_TEXT_BYTES),
        "retryable": failed.code not in NEVER_AGAIN,
    }
    if failed.cause is not None:
        error["name"] = type(failed.cause).__name__
        error["stack"] = stack_of(failed.cause, None)
    return error


def of_user(error: BaseException, root: str | None) -> dict[str, Any]:
    """The wire form of an exception that user code raised."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ of the user's class
        message = "(its message could not be read)"
    return {
        "code": USER_ERROR,
        "message": cut_text(message or type(error).__name__, MAX_TEXT_BYTES),
        "name": cut_text(type(error).__name__, 255),
        "stack": stack_of(error, root),
        "retryable": not (isinstance(error, NonRetryableError) or (isinstance(error, RunError) and not error.retryable)),
    }


def stack_of(error: BaseException, root: str | None) -> str:
    """The formatted traceback from the first frame that is not the runner's."""
    try:
        frames = error.__traceback__
        while frames is not None and frames.tb_next is not None and _is_own(frames.tb_frame.f_code.co_filename):
            frames = frames.tb_next
        text = "".join(traceback.format_exception(type(error), error, frames))
    except Exception:  # noqa: BLE001 - a broken __str__ or __repr__ of the user's class
        text = type(error).__name__
    if root:
        text = text.replace(root.rstrip("/") + "/", "")
    return cut_text(text, MAX_TEXT_BYTES)


def _is_own(filename: str) -> bool:
    return filename.startswith((OWN_FOLDER, "<frozen importlib")) or "/importlib/__init__.py" in filename
