"""Frames and words of the runner protocol; no sockets, no threads.

A frame is a 4-byte big-endian length and that many bytes of strict UTF-8 JSON.
Refused in both directions: NaN, Infinity, lone surrogates, frames over 16 MiB,
anything that is not an object with a string `type`. Nothing here has state, so
nothing is lost if the process dies here.
"""

from __future__ import annotations

import json
import struct
from typing import Any

MAX_FRAME_BYTES = 16 * 1024 * 1024
HEADER = struct.Struct(">I")

EXIT_ORDERLY = 0
EXIT_OTHER = 1
EXIT_PROTOCOL = 70
EXIT_NO_BROWSER = 71

USER_ERROR = "user-error"
NOT_FOUND = "not-found"
INVALID_OUTPUT = "invalid-output"
RESULT_TOO_BIG = "result-too-big"
ABORTED = "aborted"
SLOT_FAILED = "slot-failed"
CAPTURE_FAILED = "capture-failed"

Message = dict[str, Any]


class ProtocolError(Exception):
    """The other side broke the protocol; the process ends with code 70."""


class FrameTooBig(Exception):
    """A message of ours does not fit into one frame."""


def to_json(value: Any) -> bytes:
    """Strict, compact UTF-8 JSON. Raises ValueError for what JSON cannot say."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")  # a lone surrogate raises UnicodeEncodeError, a ValueError


def encode(message: Message) -> bytes:
    """The frame of one message, header included."""
    body = to_json(message)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooBig(f"a {message.get('type')} message of {len(body)} bytes is over {MAX_FRAME_BYTES}")
    return HEADER.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """The length a header announces; refuses what is over the limit before reading it."""
    (length,) = HEADER.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {length} bytes is over {MAX_FRAME_BYTES}")
    return int(length)


def decode(body: bytes) -> Message:
    """The message in a frame's body."""
    try:
        message = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        if b"\\ud" in body or b"\\uD" in body:
            to_json(message)  # finds lone surrogates that came in as escapes
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a frame does not parse: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("a message must be an object with a type")
    return message


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def clean_text(text: str) -> str:
    """The text with lone surrogates replaced, so that any message of ours can carry it."""
    return text.encode("utf-8", "replace").decode("utf-8")


def cut_text(text: str, limit: int) -> str:
    """The text cleaned and cut to `limit` UTF-8 bytes, never inside a character."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    return data[:limit].decode("utf-8", "ignore")
