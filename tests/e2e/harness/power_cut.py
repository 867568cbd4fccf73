"""A disk that forgets: what could lie in a folder after a power cut, made from the record of what a program asked for.

A file system may keep whatever it was not told to sync, or lose it. The rules here are the strict ones:

- A write is safe once an fsync or fdatasync of its file began after the write had ended, and has itself ended.
- Of the other writes, those that had begun may be there wholly, in part (by sectors of 512 bytes), or not at all, in any order.
- A name (created, renamed, removed) is safe once an fsync of its folder began after the change had ended, and has itself
  ended. Of the other changes of one folder, those up to any one of them may be there: names are kept in order, as a
  file system with a journal keeps them. A rename is whole or not at all.

A record that changes a watched file in a way that is not modelled is refused, never overlooked.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .syscalls import Call

SECTOR = 512


@dataclass(frozen=True)
class Change:
    """Of a file, bytes at a place, or another length; of a folder, other names."""

    began: int
    ended: int | None
    offset: int = 0
    data: bytes = b""
    # Set when this is a change of length.
    length: int | None = None
    names: tuple[tuple[str, Node | None], ...] = ()


@dataclass(eq=False)
class Node:
    """A file or a folder: everything that was asked of it, and when it was synced."""

    is_folder: bool
    changes: list[Change] = field(default_factory=list)
    syncs: list[tuple[int, int]] = field(default_factory=list)

    def at(self, moment: int) -> tuple[list[Change], list[Change]]:
        """The changes that are safe at a moment, and those that may be there."""
        since = max((began for began, ended in self.syncs if ended <= moment), default=-1)
        safe, open_ = [], []
        for change in self.changes:
            if change.ended is not None and change.ended < since:
                safe.append(change)
            elif change.began <= moment:
                open_.append(change)
        return safe, open_


class Disk:
    """A folder whose whole history is in one or more records."""

    def __init__(self, root: Path, is_watched: Callable[[str], bool] = lambda _: True) -> None:
        """The folder existed, safe and empty, when the first record began. Paths below it that are not watched are not
        modelled: they are gone after a cut."""
        self.root = str(root)
        self._is_watched = is_watched
        self._top = Node(is_folder=True)
        self._live: dict[str, Node] = {self.root: self._top}
        self._positions: dict[tuple[str, int], int] = {}
        self.last_moment = 0

    def record(self, calls: Iterable[Call], offset: int = 0) -> int:
        """Takes a record in, its moments counted from `offset`; the moment at which it ends."""
        # In the order in which they ended: a name that was made must be known to what uses it.
        ordered = sorted(calls, key=lambda call: (call.ended is None, call.ended or call.began))
        for call in ordered:
            if call.answer is not None and call.answer < 0:
                continue
            ended = None if call.ended is None else call.ended + offset
            self.last_moment = max(self.last_moment, call.began + offset, ended or 0)
            self._take(call, call.began + offset, ended)
        return self.last_moment + 1

    def cut(self, moment: int, rng: random.Random, into: Path) -> None:
        """Writes into an empty folder what a power cut right after `moment` leaves of the root folder."""
        self._write(self._top, moment, rng, into)

    def files(self, suffix: str) -> list[Node]:
        """The files that are there when the record ends and whose path ends so."""
        return [node for path, node in self._live.items() if path.endswith(suffix) and not node.is_folder]

    # --- taking in -------------------------------------------------------------------------------------------------

    def _take(self, call: Call, began: int, ended: int | None) -> None:
        match call.name:
            case "openat":
                self._open(call, began, ended, call.path(1), call.arguments[2])
            case "write" | "writev" | "pwrite64":
                self._written(call, began, ended)
            case "ftruncate":
                if node := self._node(call):
                    node.changes.append(Change(began, ended, length=call.number(1)))
            case "fsync" | "fdatasync":
                if (node := self._node(call)) and ended is not None:
                    node.syncs.append((began, ended))
            case "mkdir" | "mkdirat":
                path = call.path(0 if call.name == "mkdir" else 1)
                if self._watches(path) and path not in self._live:
                    self._live[path] = Node(is_folder=True)
                    self._rename(began, ended, (path, self._live[path]))
            case "rename":
                self._moved(began, ended, call.path(0), call.path(1))
            case "renameat" | "renameat2":
                self._moved(began, ended, call.path(1), call.path(3))
            case "link" | "linkat":
                old, new = (call.path(0), call.path(1)) if call.name == "link" else (call.path(1), call.path(3))
                if self._watches(new):
                    self._live[new] = self._live[old]
                    self._rename(began, ended, (new, self._live[old]))
            case "unlink" | "rmdir" | "unlinkat":
                path = call.path(1 if call.name == "unlinkat" else 0)
                if self._live.pop(path, None):
                    self._rename(began, ended, (path, None))
            case "lseek":
                if self._node(call) and call.answer is not None:
                    self._positions[self._place(call)] = call.answer
            case "accept4" | "recvfrom" | "sendto" | "sendmsg":
                pass
            case _:
                self._refuse_if_watched(call)

    def _open(self, call: Call, began: int, ended: int | None, path: str, flags: str) -> None:
        if not self._watches(path) or "O_DIRECTORY" in flags or "O_PATH" in flags:
            return
        node = self._live.get(path)
        if node is None and "O_CREAT" in flags:
            node = self._live[path] = Node(is_folder=False)
            self._rename(began, ended, (path, node))
        elif node is not None and "O_TRUNC" in flags:
            node.changes.append(Change(began, ended, length=0))
        if node is not None and call.answer is not None:
            self._positions[path, call.answer] = self._length(node) if "O_APPEND" in flags else 0

    def _written(self, call: Call, began: int, ended: int | None) -> None:
        node = self._node(call)
        if node is None:
            return
        data = call.bytes(1)
        if call.answer is not None:
            data = data[: call.answer]
        if call.name == "pwrite64":
            place = call.number(3)
        else:
            place = self._positions[self._place(call)]
            self._positions[self._place(call)] = place + len(data)
        node.changes.append(Change(began, ended, offset=place, data=data))

    def _moved(self, began: int, ended: int | None, old: str, new: str) -> None:
        node = self._live.pop(old, None)
        if node is None:
            assert not self._watches(new), f"{old}, which is not watched, becomes {new}"
            return
        assert not node.is_folder, f"renaming folders is not modelled: {old}"
        self._live[new] = node
        for key in [key for key in self._positions if key[0] == old]:
            self._positions[new, key[1]] = self._positions.pop(key)
        if os.path.dirname(old) == os.path.dirname(new):
            self._rename(began, ended, (old, None), (new, node))
        else:
            self._rename(began, ended, (old, None))
            self._rename(began, ended, (new, node))

    def _rename(self, began: int, ended: int | None, *changes: tuple[str, Node | None]) -> None:
        names = tuple((os.path.basename(path), node) for path, node in changes)
        self._live[os.path.dirname(changes[0][0])].changes.append(Change(began, ended, names=names))

    def _node(self, call: Call) -> Node | None:
        return self._live.get(call.descriptor()[1])

    def _place(self, call: Call) -> tuple[str, int]:
        number, path = call.descriptor()
        return path, number

    def _watches(self, path: str) -> bool:
        return path.startswith(f"{self.root}/") and self._is_watched(path[len(self.root) + 1 :])

    def _refuse_if_watched(self, call: Call) -> None:
        for index, argument in enumerate(call.arguments):
            if argument.startswith('"'):
                touched = self._watches(call.path(index))
            elif "<" in argument:
                touched = call.descriptor(index)[1] in self._live
            else:
                continue
            assert not touched, f"{call.name} of a watched file is not modelled: {call.arguments}"

    @staticmethod
    def _length(node: Node) -> int:
        return len(_content(node.changes))

    # --- cutting ---------------------------------------------------------------------------------------------------

    def _write(self, folder: Node, moment: int, rng: random.Random, into: Path) -> None:
        safe, open_ = folder.at(moment)
        names: dict[str, Node | None] = {}
        for change in [*safe, *open_[: rng.randint(0, len(open_))]]:
            names.update(change.names)
        for name, node in names.items():
            if node is None:
                continue
            if node.is_folder:
                (into / name).mkdir(mode=0o700)
                self._write(node, moment, rng, into / name)
            else:
                safe, open_ = node.at(moment)
                (into / name).write_bytes(_content([*safe, *_survivors(open_, rng)]))
                (into / name).chmod(0o600)


def _survivors(open_: list[Change], rng: random.Random) -> list[Change]:
    """Which of the writes that nobody synced are there: one of the ways in which disks forget."""
    way = rng.choice(("nothing", "everything", "beginning", "some", "torn"))
    if way == "nothing":
        return []
    if way == "everything":
        return open_
    if way == "beginning":
        return open_[: rng.randint(0, len(open_))]
    kept = []
    for change in open_:
        if way == "some" or not change.data:
            if rng.random() < 0.5:
                kept.append(change)
            continue
        # A sector is written whole or not at all; where sectors lie depends on the place in the file.
        at = 0
        while at < len(change.data):
            end = min(len(change.data), at + SECTOR - (change.offset + at) % SECTOR)
            if rng.random() < 0.5:
                kept.append(Change(change.began, change.ended, offset=change.offset + at, data=change.data[at:end]))
            at = end
    return kept


def _content(changes: list[Change]) -> bytes:
    content = bytearray()
    for change in changes:
        if change.length is not None:
            del content[change.length :]
            content.extend(bytes(change.length - len(content)))
            continue
        end = change.offset + len(change.data)
        if len(content) < end:
            content.extend(bytes(end - len(content)))
        content[change.offset : end] = change.data
    return bytes(content)
