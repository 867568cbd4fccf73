"""The connection to the worker: one reader thread, sends from any thread.

The reader owns the receiving half, so EOF is noticed while user code blocks the
event loop. Sends are synchronous and ordered by a lock: what was sent before
`done` arrives before it, and a slow worker slows a flood of prints down instead of
filling memory. Refused: frames that break the protocol (exit 70).
If the process dies here the worker sees EOF and keeps what it got.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable

from .lifeline import Lifeline
from .protocol import EXIT_ORDERLY, EXIT_PROTOCOL, HEADER, Message, ProtocolError, body_length, decode, encode


class Link:
    """One connected socket."""

    def __init__(self, path: str, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._sending = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)

    def send(self, message: Message) -> None:
        """Send one message; returns when the kernel has it. Raises FrameTooBig, ValueError."""
        frame = encode(message)
        try:
            with self._sending:
                self._socket.sendall(frame)
        except OSError:
            # The worker is gone; the reader is about to find out or already did.
            self._lifeline.leave(EXIT_ORDERLY)

    def start(self, receive: Callable[[Message], None]) -> None:
        """Begin reading; `receive` is called on the reader's thread for every message."""
        threading.Thread(target=self._read, args=(receive,), name="kw-link", daemon=True).start()

    def _read(self, receive: Callable[[Message], None]) -> None:
        try:
            while True:
                header = self._exactly(HEADER.size)
                receive(decode(self._exactly(body_length(header))))
        except (EOFError, OSError):
            self._lifeline.leave(EXIT_ORDERLY)
        except ProtocolError as error:
            self.refuse(error)

    def refuse(self, error: ProtocolError) -> None:
        """End the process because the worker broke the protocol. Never returns."""
        stderr = sys.__stderr__
        if stderr is not None:
            stderr.write(f"keywright_runner: protocol error: {error}\n")
            stderr.flush()
        self._lifeline.leave(EXIT_PROTOCOL)

    def _exactly(self, length: int) -> bytes:
        parts: list[bytes] = []
        while length:
            part = self._socket.recv(min(length, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)
