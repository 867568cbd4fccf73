"""A wire that breaks on command, between a server and its PostgreSQL.

Every node of a test has one of its own, so one node can be cut off while the others go on. Faults begin and end when the
test says so, never by chance. What was swallowed is never made up: connections that lost bytes are cut when the wire heals,
as a network would time them out, and what was only held back arrives late, as a network would deliver it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, TypeVar

CHUNK_BYTES = 64 * 1024
MAX_ANSWER_SECONDS = 30
# How a driver ends a transaction: a simple query, whose text ends with a zero byte.
COMMIT = b"COMMIT\0"
T = TypeVar("T")


class Wire(Enum):
    """What happens to bytes in either direction."""

    OPEN = "they pass"
    HELD = "they wait, and pass once the wire is open again"
    SWALLOWED = "they are taken and nobody ever gets them"
    CUT = "connections are closed, and new ones too"


class Commits(Enum):
    """What happens to a commit that is to be broken."""

    LOST = "the connection breaks before the database has seen it"
    UNANSWERED = "the database has carried it out, and the connection breaks before its answer"


class FaultProxy:
    """A listening port that stands for another one."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._pairs: set[_Pair] = set()
        self.wire = Wire.OPEN
        self.delay_seconds = 0.0
        self._broken: Commits | None = None
        self._to_break = 0
        self.broken_commits = 0
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._thread.start()
        self._moved = self._do(self._event)
        self._listener = self._do(lambda: asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._listener.sockets[0].getsockname()[1]

    # --- what tests say ------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Everything passes again."""
        self.delay_seconds = 0.0
        self._to_break = 0
        self._set(Wire.OPEN)

    def delay(self, seconds: float) -> None:
        """Every piece takes this much longer in either direction."""
        self.delay_seconds = seconds

    def hold(self) -> None:
        """A partition that will heal in time: what is sent meanwhile arrives late."""
        self._set(Wire.HELD)

    def swallow(self) -> None:
        """A half-open wire: connections stay, whatever is sent is taken, and nobody says anything."""
        self._set(Wire.SWALLOWED)

    def cut(self) -> None:
        """Every connection breaks, and new ones break at once, until it heals."""
        self._set(Wire.CUT)

    def break_connections(self) -> None:
        """Every connection of now breaks; new ones are fine."""
        self._do(self._close_all)

    def break_commits(self, how: Commits, count: int) -> None:
        """Breaks the connections of the next commits."""
        self._broken, self._to_break = how, count

    def close(self) -> None:
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # --- inside the loop -----------------------------------------------------------------------------------------

    def _do(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async def run() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(MAX_ANSWER_SECONDS)

    async def _event(self) -> asyncio.Event:
        return asyncio.Event()

    def _set(self, wire: Wire) -> None:
        async def change() -> None:
            had_lost = self.wire is Wire.SWALLOWED
            self.wire = wire
            if wire is Wire.CUT or had_lost:
                await self._close_all()
            self._moved.set()
            self._moved = asyncio.Event()

        self._do(change)

    async def _close_all(self) -> None:
        for pair in list(self._pairs):
            pair.break_off()

    async def _close(self) -> None:
        self._listener.close()
        await self._close_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(self, writer)
        self._pairs.add(pair)
        try:
            if self.wire is Wire.CUT:
                return
            try:
                answers, requests = await asyncio.open_connection("127.0.0.1", self._target_port)
            except OSError:
                return
            pair.upstream = requests
            there = asyncio.create_task(pair.pump(reader, requests, is_request=True))
            back = asyncio.create_task(pair.pump(answers, writer, is_request=False))
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
        finally:
            self._pairs.discard(pair)
            pair.break_off()

    async def passes(self) -> bool:
        """Waits while pieces are held; whether this one may go on."""
        while self.wire is Wire.HELD:
            await self._moved.wait()
        return self.wire is Wire.OPEN

    def take_commit(self) -> Commits | None:
        """Whether, and how, the commit that just came is to be broken."""
        if self._to_break <= 0:
            return None
        self._to_break -= 1
        self.broken_commits += 1
        return self._broken


class _Pair:
    """One connection and its other half."""

    def __init__(self, proxy: FaultProxy, downstream: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._downstream = downstream
        self.upstream: asyncio.StreamWriter | None = None
        self._is_last_answer = False
        self._tail = b""

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_request: bool) -> None:
        while piece := await reader.read(CHUNK_BYTES):
            if self._proxy.delay_seconds:
                await asyncio.sleep(self._proxy.delay_seconds)
            if not await self._proxy.passes():
                continue
            if is_request and self._has_commit(piece):
                match self._proxy.take_commit():
                    case Commits.LOST:
                        return
                    case Commits.UNANSWERED:
                        self._is_last_answer = True
                    case None:
                        pass
            elif not is_request and self._is_last_answer:
                return
            writer.write(piece)
            await writer.drain()

    def _has_commit(self, piece: bytes) -> bool:
        seen = self._tail + piece
        self._tail = piece[-(len(COMMIT) - 1):]
        return COMMIT in seen

    def break_off(self) -> None:
        """Closes both halves the hard way, as a machine does that went away and came back."""
        for writer in (self._downstream, self.upstream):
            if writer is None:
                continue
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
