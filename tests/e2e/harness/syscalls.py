"""What a process asked the kernel for, in order: a program started under strace, and its record read back.

The order is that of the record's lines, which strace writes while it holds the process still: a call's `began` is no later
than the kernel carried it out and its `ended` no earlier, and a call that ended before another began did so in truth. What
the program starts (runners, browsers) is let go the moment it becomes another program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Everything that changes files or talks to a client. What a reader of the record does not understand must be in it too, so
# that it can refuse instead of overlooking it.
TRACED = (
    "accept4,recvfrom,sendto,sendmsg,writev,write,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range,ftruncate,truncate,"
    "fallocate,copy_file_range,sendfile,splice,lseek,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,"
    "symlink,symlinkat,unlink,unlinkat,rmdir"
)
# Longer than any request, answer or page of a test.
MAX_BYTES_OF_A_CALL = 64 << 20

_LINE = re.compile(r"^(\d+) +(.*)$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+|\?)(.*)$", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_BYTES = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"^(\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>(?:\(deleted\))?$")


def under_strace(record: Path) -> list[str]:
    """The words to put before a command so that what it asks for is recorded in a file. The process that is started is the
    command itself; the recorder looks on from the side, and ends with it."""
    return ["strace", "-D", "-f", "-b", "execve", "-qq", "-y", "-xx", "-s", str(MAX_BYTES_OF_A_CALL), "-e", "signal=none",
            "-e", f"trace={TRACED}", "-o", str(record), "--"]


@dataclass(frozen=True)
class Call:
    """One call that has ended, or was under way when the record ends (`ended` is then None)."""

    name: str
    arguments: list[str]
    began: int
    ended: int | None
    # What the kernel answered; None when the process did not live to see it.
    answer: int | None

    def descriptor(self, index: int = 0) -> tuple[int, str]:
        """The number and the path (or the name of a socket) of a descriptor among the arguments."""
        found = _DESCRIPTOR.match(self.arguments[index])
        assert found, f"{self.name} has no descriptor there: {self.arguments[index][:200]}"
        number = -1 if found[1] == "AT_FDCWD" else int(found[1])
        return number, _decoded(found[2]).decode()

    def path(self, index: int) -> str:
        """A path among the arguments, absolute when the folder that it starts from is the argument before it."""
        path = self.bytes(index).decode()
        if path.startswith("/") or index == 0:
            return path
        return f"{self.descriptor(index - 1)[1]}/{path}"

    def bytes(self, index: int) -> bytes:
        """The bytes among the arguments; of several pieces, all of them."""
        return b"".join(_decoded(piece) for piece in _BYTES.findall(self.arguments[index]))

    def number(self, index: int) -> int:
        """A number among the arguments."""
        return int(self.arguments[index], 0)


def read(record: Path) -> Iterator[Call]:
    """The calls of a record, in the order in which they began to be known."""
    unfinished: dict[str, tuple[int, str]] = {}
    with record.open("rb") as lines:
        for number, raw in enumerate(lines):
            found = _LINE.match(raw.decode("ascii").rstrip("\n"))
            if not found:
                continue
            thread, text = found.groups()
            began = number
            if text.endswith(_UNFINISHED):
                unfinished[thread] = (number, text.removesuffix(_UNFINISHED))
                continue
            if resumed := _RESUMED.match(text):
                began, first = unfinished.pop(thread)
                text = first + resumed[2]
            if call := _CALL.match(text):
                answer = None if call[3] == "?" else int(call[3])
                yield Call(call[1], _split(call[2]), began, number, answer)
    for began, text in unfinished.values():
        name, _, rest = text.partition("(")
        yield Call(name, _split(rest.rstrip(", ")), began, None, None)


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _split(text: str) -> list[str]:
    """The arguments of a call. Strings hold no comma, because every byte of them is written in hexadecimal."""
    parts, depth, start = [], 0, 0
    for mark in re.finditer(r"[\[\]{}(),]", text):
        if mark[0] in "[{(":
            depth += 1
        elif mark[0] in "]})":
            depth -= 1
        elif depth == 0:
            parts.append(text[start : mark.start()].strip())
            start = mark.end()
    parts.append(text[start:].strip())
    return parts
