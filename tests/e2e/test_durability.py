"""Accepted means durable: an fsync before every answer that promises something, and power cuts that lose nothing.

The acceptance programme (A2) does the same with more stories and more cuts. The last test is the control: on a database that
does not sync, the same cuts must be found to lose something, or they would prove nothing.
"""

from __future__ import annotations

import random
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from accept.a02_durability import Recording, check_syncs, cut, moments, tell
from harness.power_cut import Disk
from harness.server import ROOT
from harness.syscalls import read, under_strace

CUTS = 30
BOOTS = 2

# Commits rows one by one and says so on a socket, as a server would.
SMALL_PROGRAM = """
import socket, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute(f"PRAGMA synchronous = {sys.argv[2]}")
database.execute("PRAGMA wal_autocheckpoint = 20")
database.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY, ballast TEXT)")
mine, theirs = socket.socketpair()
for number in range(1, 101):
    database.execute("INSERT INTO numbers VALUES (?, ?)", (number, "x" * 500))
    mine.send(b"%d" % number)
    theirs.recv(100)
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return tell(tmp_path_factory.mktemp("durability"), seed=1, rounds=2)


def test_every_writing_route_is_synced_before_it_is_answered(recording: Recording) -> None:
    broken: list[str] = []
    checked = check_syncs(recording, broken.append)
    assert broken == []
    assert checked > 2 * len(recording.routes)


def test_a_power_cut_loses_nothing_that_was_acknowledged(recording: Recording, tmp_path: Path) -> None:
    broken: list[str] = []
    dice = random.Random(1)
    for number, moment in enumerate(moments(recording, CUTS, dice)):
        cut(recording, moment, dice, tmp_path / "left", number < BOOTS, broken.append)
    assert broken == []


@pytest.mark.parametrize(("synchronous", "loses"), [("FULL", False), ("NORMAL", True), ("OFF", True)])
def test_the_simulated_power_cut_finds_a_database_that_does_not_sync(tmp_path: Path, synchronous: str, loses: bool) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    program = [sys.executable, "-c", SMALL_PROGRAM, str(folder / "numbers.db"), synchronous]
    record = tmp_path / "record"
    # Without -D the recorder ends before this returns.
    words = [word for word in under_strace(record) if word != "-D"]
    subprocess.run([*words, *program], check=True, timeout=60)
    calls = list(read(record))
    disk = Disk(folder, lambda path: not path.endswith("-shm"))
    end = disk.record(calls)
    told = [(call.began, int(call.bytes(1))) for call in calls if call.name == "sendto"]
    assert len(told) == 100
    dice, lost = random.Random(1), 0
    for number in range(CUTS):
        moment = dice.choice(told)[0] if number % 2 else dice.randint(told[0][0], end)
        left = tmp_path / f"left-{number}"
        left.mkdir()
        disk.cut(moment, dice, left)
        promised = {row for said_at, row in told if said_at <= moment}
        try:
            database = sqlite3.connect(left / "numbers.db")
            there = {row for (row,) in database.execute("SELECT number FROM numbers")}
            database.close()
        except sqlite3.Error:
            there = set()
        lost += not promised <= there
    assert (lost > 0) == loses, f"{lost} of {CUTS} cuts lost something"


def test_what_the_reliability_page_says_is_there() -> None:
    page = (ROOT / "docs/RELIABILITY.md").read_text()
    sources = [path.read_text() for folder in ("crates", "tests/e2e") for suffix in ("rs", "py")
               for path in (ROOT / folder).rglob(f"*.{suffix}")]
    defined = set(re.findall(r"(?:fn|def) ([a-z0-9_]+)\(", "\n".join(sources)))
    named = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`", page))
    assert len(named) > 30
    assert named - defined == set()
    invariants = re.findall(r'^    "(I\d[^"]*)"', (ROOT / "crates/store/src/audit.rs").read_text(), re.MULTILINE)
    assert invariants
    assert [invariant for invariant in invariants if f"- {invariant}\n" not in page] == []
