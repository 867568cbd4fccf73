"""A2: what was acknowledged is on the disk before it is acknowledged, and a power cut loses none of it.

Two proofs on one record of a real server's system calls (SQLite):

- Between the moment at which a writing request had been read and the moment at which its answer began to be written, bytes
  went into the write-ahead log, and an fsync of it began after that and ended. Where the answer names a new id, that id is
  among those bytes. Every writing route that the server's own OpenAPI document names must occur.
- The disk forgets (harness/power_cut.py): at a random moment only what was synced is kept, and of the rest a random part.
  On what is left, everything acknowledged before that moment is there, `keywright verify` finds nothing broken, and, for
  some of the cuts, a server starts and ends all that was accepted.
"""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from harness.exchanges import Exchange, exchanges
from harness.power_cut import Disk
from harness.recorded import RecordedServer, Story
from harness.server import BINARY, UNFINISHED
from harness.stub import StubServer
from harness.syscalls import Call

from .program import Report, main

STORIES = {"quick": 4, "long": 40}
CUTS_PER_STORY = {"quick": 125, "long": 500}
ROUNDS = 5
# Of so many cuts, one is also started from.
BOOT_EVERY = 20
MAX_SETTLE_SECONDS = 60
WRITING = ("POST", "PUT", "PATCH", "DELETE")
BASE = "/api/v1/workspace/{workspaceId}"
# Folders whose content is made again from what is stored, or belongs to processes that a power cut ends.
NOT_STORED = ("slots/", "traces/", "builds/", "deployments/")
Violated = Callable[[str], None]


@dataclass
class Recording:
    """A story that was told, and everything that is known of it."""

    workspace: str
    api_key: str
    disk: Disk
    exchanges: list[Exchange]
    # Of each life, its calls, and the moment from which its own moments are counted.
    lives: list[tuple[int, list[Call]]]
    # When the first line with the first key was written.
    ready_at: int
    end: int
    routes: list[tuple[str, str]]


def is_stored(path: str) -> bool:
    """Whether a file of the data folder must survive. The index of the write-ahead log is made again by SQLite, and the
    reserve of disk space by the server."""
    return not path.endswith(("-shm", ".ballast")) and not path.startswith(NOT_STORED)


def tell(folder: Path, seed: int, rounds: int) -> Recording:
    """Tells a story to a server that is killed in the middle, started again, and ended in order."""
    data = folder / "data"
    # The folder is made by the server, so its own name has to be safe too.
    disk = Disk(folder, lambda path: path == "data" or (path.startswith("data/") and is_stored(path[len("data/"):])))
    server = RecordedServer(folder, "--shutdown-grace-s", "0")
    assert data == server.data_dir
    document = httpx.get(f"{server.url}/openapi.json").json()
    routes = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods
              if method.upper() in WRITING]
    Story(server, seed).tell(rounds)
    server.kill()
    server.start()
    Story(server, seed + 1).tell(1)
    assert server.stop() == 0

    offset, lives, found, ready_at = 0, [], [], None
    for calls in server.calls():
        lives.append((offset, calls))
        for exchange in exchanges(calls):
            found.append(_later(exchange, offset))
        for call in calls:
            if ready_at is None and call.name == "write" and call.descriptor()[0] == 1 and b'"apiKey"' in call.bytes(1):
                ready_at = call.began
        offset = disk.record(calls, offset)
    assert ready_at is not None, "nobody was told the first key"
    return Recording(server.workspace_id, server.api_key, disk, found, lives, ready_at, offset, routes)


def _later(exchange: Exchange, offset: int) -> Exchange:
    return Exchange(exchange.method, exchange.path, exchange.request, exchange.read_at + offset,
                    exchange.answered_at + offset, exchange.status, exchange.answer)


# --- an fsync before every answer ----------------------------------------------------------------------------------------


def check_syncs(recording: Recording, violated: Violated) -> int:
    """Holds every answer of a writing route against the syncs before it; how many there were."""
    writes: list[tuple[int, bytes]] = []
    syncs: list[tuple[int, int]] = []
    for offset, calls in recording.lives:
        for call in calls:
            if call.ended is None or call.name not in ("pwrite64", "fsync", "fdatasync"):
                continue
            if not call.descriptor()[1].endswith("/keywright.db-wal"):
                continue
            if call.name == "pwrite64":
                writes.append((call.ended + offset, call.bytes(1)))
            else:
                syncs.append((call.began + offset, call.ended + offset))
    seen = set()
    checked = 0
    for exchange in recording.exchanges:
        if exchange.method not in WRITING or exchange.status >= 300:
            continue
        checked += 1
        seen.add((exchange.method, _template(exchange.path, recording.routes)))
        last_sync = max((began for began, ended in syncs if exchange.read_at < began and ended < exchange.answered_at), default=None)
        where = f"{exchange.method} {exchange.path} -> {exchange.status}"
        if last_sync is None:
            violated(f"{where} was answered before anything was synced")
            continue
        synced = [data for ended, data in writes if exchange.read_at < ended < last_sync]
        witness = _new_id(exchange)
        if not synced:
            violated(f"{where} was answered after a sync of nothing")
        elif witness and not any(witness.encode() in data for data in synced):
            violated(f"{where} was answered before its own id was synced")
    for route in recording.routes:
        if route not in seen:
            violated(f"{route[0]} {route[1]} writes, and the story does not use it")
    return checked


def _template(path: str, routes: list[tuple[str, str]]) -> str:
    matching = [template for _, template in routes if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)]
    # A name that is written beats one that is a parameter.
    return min(matching, key=lambda template: template.count("{"), default=path)


def _new_id(exchange: Exchange) -> str | None:
    """The id that an answer names and that its request made."""
    if exchange.status != 201:
        return None
    answer = exchange.json()
    return answer.get("runId") or answer.get("operationId") or answer.get("id")


# --- power cuts ----------------------------------------------------------------------------------------------------------


def moments(recording: Recording, count: int, dice: random.Random) -> list[int]:
    """When the power goes: at any moment, right after an answer began, and around the syncs."""
    answers = [exchange.answered_at for exchange in recording.exchanges]
    syncs = [moment + offset for offset, calls in recording.lives for call in calls if call.name in ("fsync", "fdatasync")
             for moment in (call.began - 1, call.began, call.ended or call.began) if moment >= 0]
    chosen = [dice.randint(0, recording.end), dice.choice(answers), dice.choice(syncs)]
    return [chosen[n] if n < 3 else dice.choice((dice.randint(0, recording.end), dice.choice(answers), dice.choice(syncs)))
            for n in range(count)]


def cut(recording: Recording, moment: int, dice: random.Random, folder: Path, has_boot: bool, violated: Violated) -> None:
    """One power cut right after a moment: what is left is looked into, and perhaps started from."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    recording.disk.cut(moment, dice, folder)
    data = folder / "data"
    answered = [exchange.answered_at for exchange in recording.exchanges]
    known = recording.exchanges[: bisect_right(answered, moment)]

    def lost(what: str) -> None:
        violated(f"cut at {moment} of {recording.end}: {what}")

    if moment >= recording.ready_at:
        look_into(data, recording, known, lost)
        done = subprocess.run([BINARY, "verify", "--data-dir", str(data)], capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            lost(f"verify: {done.stdout[-800:]}{done.stderr[-800:]}")
    if has_boot:
        boot(data, folder, recording, known, lost)


def look_into(data: Path, recording: Recording, known: list[Exchange], lost: Violated) -> None:
    """Holds everything that was acknowledged against what the database and the blob folder have."""
    try:
        database = sqlite3.connect(data / "keywright.db")
        integrity = database.execute("PRAGMA integrity_check").fetchone()[0]
        if integrity != "ok":
            lost(f"the database is damaged: {integrity}")
        if database.execute("SELECT count(*) FROM api_keys").fetchone()[0] == 0:
            lost("the first key is not there")
        for exchange in known:
            missing = _missing(database, data, recording, exchange)
            if missing:
                lost(f"{exchange.method} {exchange.path} -> {exchange.status}: {missing}")
        database.close()
    except sqlite3.Error as error:
        lost(f"the database cannot be read: {error}")


def _missing(database: sqlite3.Connection, data: Path, recording: Recording, exchange: Exchange) -> str | None:
    """What an answer promised and is not there."""

    def one(statement: str, *values: Any) -> Any:
        row = database.execute(statement, values).fetchone()
        return row[0] if row else None

    if exchange.status >= 300:
        return None
    path = exchange.path.removeprefix(f"/api/v1/workspace/{recording.workspace}")
    parts = path.strip("/").split("/")
    match exchange.method, parts:
        case "POST", ["projects", _, "run", "start"]:
            return None if one("SELECT 1 FROM runs WHERE id = ?", exchange.json()["runId"]) else "the run is gone"
        case "POST", ["projects", _, "run", run, "cancel"]:
            return None if one("SELECT state FROM runs WHERE id = ?", run) == "canceled" else "the run is not canceled"
        case "POST", ["projects", _, "auth-sessions", *_]:
            found = one("SELECT run_id FROM operations WHERE id = ?", exchange.json()["operationId"])
            return None if found and one("SELECT 1 FROM runs WHERE id = ?", found) else "the operation is gone"
        case "DELETE", ["projects", _, "auth-sessions", session]:
            return "the session is back" if one("SELECT 1 FROM auth_sessions WHERE id = ?", session) else None
        case "POST", ["keys"]:
            return None if one("SELECT 1 FROM api_keys WHERE id = ?", exchange.json()["id"]) else "the key is gone"
        case "DELETE", ["keys", key]:
            return None if one("SELECT revoked_at FROM api_keys WHERE id = ?", key) else "the key is not revoked"
        case "PUT", ["projects", _, "deployments"]:
            deployment = exchange.json()["id"]
            if not one("SELECT 1 FROM deployments WHERE id = ?", deployment):
                return "the deployment is gone"
            blob = data / "blobs" / recording.workspace / "deployments" / f"{deployment}.tar.gz"
            # Sealed with nonce and tag, so it is longer than what was sent.
            is_whole = blob.exists() and blob.stat().st_size > len(exchange.request) and any(blob.read_bytes()[-16:])
            return None if is_whole else "the archive of the deployment is not whole"
        case "POST", ["projects", project, "deployments", deployment, "activate"]:
            active = one("SELECT active_deployment FROM projects WHERE name = ?", project)
            return None if active == deployment else "another deployment is active"
        case "GET", ["projects", _, "run", run, "result"]:
            status = exchange.json()["status"]
            if status in UNFINISHED:
                return None
            return None if one("SELECT state FROM runs WHERE id = ?", run) == status else f"the run was told to be {status}"
        case "GET", ["projects", _, "auth-sessions", *_, operation, "result"]:
            status = exchange.json()["status"]
            state = one("SELECT r.state FROM runs r JOIN operations o ON o.run_id = r.id WHERE o.id = ?", operation)
            return None if status in UNFINISHED or state in ("completed", "failed", "canceled") else f"it was told to be {status}"
        case _:
            return None


def boot(data: Path, folder: Path, recording: Recording, known: list[Exchange], lost: Violated) -> None:
    """Starts a server on what is left, and waits until everything that was accepted has ended."""
    try:
        server = StubServer(data, folder / "journal", "--shutdown-grace-s", "0")
    except AssertionError as error:
        return lost(f"the server does not start: {error}")
    try:
        server.api_key = server.api_key or recording.api_key
        if not known:
            return
        server.http = server.client(server.api_key)
        deadline = time.monotonic() + MAX_SETTLE_SECONDS
        for exchange in known:
            if not exchange.path.endswith("/run/start") or exchange.status != 201:
                continue
            path = exchange.path.removeprefix(f"/api/v1/workspace/{recording.workspace}").removesuffix("start")
            while True:
                answer = server.http.get(f"{path}{exchange.json()['runId']}/result")
                if answer.status_code != 200:
                    lost(f"after a start, {exchange.json()['runId']} is answered with {answer.status_code}")
                    break
                # A run that never ends by itself, and whose cancel was not acknowledged, goes on; it does so as started.
                if answer.json()["status"] not in UNFINISHED or b'"hangs": true' in exchange.request:
                    break
                if time.monotonic() > deadline:
                    return lost(f"after a start, {exchange.json()['runId']} does not end: {answer.text}")
                time.sleep(0.02)
    finally:
        if server.stop() != 0:
            lost("a server started on what is left does not end in order")


def measure(report: Report) -> None:
    """Syncs before answers, and power cuts."""
    report.measured = "one power cut: what is left is written, looked into and verified"
    dice = random.Random(report.seed)
    answers = boots = 0
    for number in range(STORIES[report.size]):
        with tempfile.TemporaryDirectory(prefix="keywright-a02-") as name:
            folder = Path(name)
            (folder / "told").mkdir()
            recording = tell(folder / "told", dice.randrange(1 << 32), ROUNDS)
            answers += check_syncs(recording, report.violated)
            report.say(f"story {number + 1}: {len(recording.exchanges)} exchanges, {recording.end} calls")
            for count, moment in enumerate(moments(recording, CUTS_PER_STORY[report.size], dice)):
                began = time.monotonic()
                has_boot = count % BOOT_EVERY == 0
                cut(recording, moment, dice, folder / "left", has_boot, report.violated)
                if has_boot:
                    boots += 1
                else:
                    report.samples_ms.append((time.monotonic() - began) * 1_000)
                report.n += 1
    report.figures.update(answersWithSync=answers, starts=boots)


if __name__ == "__main__":
    main("A2", measure)
