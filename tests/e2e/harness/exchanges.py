"""What a server was asked over HTTP and what it answered, out of the record of its system calls.

Clients of a recorded server use one connection for one request (`ask`), so that everything read from a connection is one
request and everything written to it one answer.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .syscalls import Call


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, with the moments of the record."""

    method: str
    path: str
    request: bytes
    # When the last bytes of the request had been read, and when the first bytes of the answer began to be written.
    read_at: int
    answered_at: int
    status: int
    answer: bytes

    def json(self) -> Any:
        """The body of the answer."""
        return json.loads(self.answer)


def exchanges(calls: Iterable[Call]) -> list[Exchange]:
    """The exchanges of a record that were answered, in the order of their answers."""
    found: list[Exchange] = []
    connections: dict[tuple[int, str], list[Call]] = {}

    for call in sorted(calls, key=lambda call: (call.ended is None, call.ended or call.began)):
        if call.name not in ("recvfrom", "sendto", "sendmsg", "writev", "write") or "<" not in call.arguments[0]:
            continue
        place = call.descriptor()
        if place[1].startswith(("socket:", "TCP")) and (call.answer is None or call.answer > 0):
            connections.setdefault(place, []).append(call)
    for calls_of_one in connections.values():
        if exchange := _exchange(calls_of_one):
            found.append(exchange)
    return sorted(found, key=lambda exchange: exchange.answered_at)


def _exchange(calls: list[Call]) -> Exchange | None:
    request, answer = b"", b""
    read_at, answered_at = -1, None
    for call in calls:
        data = call.bytes(1) if call.answer is None else call.bytes(1)[: call.answer]
        if call.name == "recvfrom":
            request += data
            if answered_at is None and call.ended is not None:
                read_at = call.ended
        else:
            answered_at = call.began if answered_at is None else answered_at
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    if answered_at is None or not head.startswith(b"HTTP/1.1 "):
        return None
    method, path, _ = request.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    return Exchange(method, path, request.partition(b"\r\n\r\n")[2], read_at, answered_at, int(head.split(b" ", 2)[1]), body)


def ask(url: str, method: str, path: str, key: str, body: Any = None, content_type: str = "application/json") -> tuple[int, Any]:
    """One request over a connection of its own; the status and the body of the answer."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    try:
        headers = {"x-api-key": key, "connection": "close"}
        if body is not None:
            headers["content-type"] = content_type
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    finally:
        connection.close()
