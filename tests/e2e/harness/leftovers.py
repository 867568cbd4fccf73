"""What attempts leave on a machine: processes, listening sockets, private folders, temporary files, shared memory.

User code that wants to be found (`probe`) starts a child that outlives it, listens on a port, writes files that carry its
mark, and tells which slot it is in. So what is left of one attempt can be told from what belongs to others and from the warm
slots that wait for the next one.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .processes import matching, mentioning

SHARED_MEMORY, TEMPORARY = Path("/dev/shm"), Path("/tmp")
# What Chromium and Playwright call what they leave there when they are killed.
BROWSER_FILES = (".org.chromium", "org.chromium", "playwright", "scoped_dir", ".com.google")
HOW_OFTEN_SECONDS = 0.1
MAX_REPORT_SECONDS = 60

TS_API = """
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { writeFileSync } from "node:fs";

export default async function ends(params: any, page: any) {
  const { mark, report, ending } = params;
  spawn("sh", ["-c", `sleep 600; : ${mark}`], { detached: true, stdio: "ignore" }).unref();
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((go) => server.once("listening", go));
  for (const place of ["/tmp", "/dev/shm", process.env.HOME]) {
    try { writeFileSync(`${place}/${mark}`, "left"); } catch {}
  }
  const slot = process.env.KEYWRIGHT_SLOT_DIR ?? "";
  await page.goto(`${report}?mark=${mark}&slot=${encodeURIComponent(slot)}&port=${(server.address() as any).port}`);
  if (ending === "throws") throw new Error("on purpose");
  if (ending === "exits") process.exit(3);
  if (ending === "returns") return mark;
  await new Promise((_, fail) => setInterval(() => page.title().catch(fail), 200));
}
"""
PY_API = """
import asyncio
import os
import socket
import subprocess
from urllib.parse import quote


async def automation(page, params=None, **_kwargs):
    mark, report, ending = params["mark"], params["report"], params["ending"]
    subprocess.Popen(["sh", "-c", f"sleep 600; : {mark}"], start_new_session=True)
    listener = socket.create_server(("127.0.0.1", 0))
    for place in ("/tmp", "/dev/shm", os.environ["HOME"]):
        try:
            with open(f"{place}/{mark}", "w") as file:
                file.write("left")
        except OSError:
            pass
    slot = quote(os.environ.get("KEYWRIGHT_SLOT_DIR", ""))
    await page.goto(f"{report}?mark={mark}&slot={slot}&port={listener.getsockname()[1]}")
    if ending == "throws":
        raise ValueError("on purpose")
    if ending == "exits":
        os._exit(3)
    while ending != "returns":
        await asyncio.sleep(0.2)
        await page.title()
    return mark
"""


def write_probe(folder: Path, name: str, language: str, concurrency: int = 2) -> Path:
    """A project with the one API `ends`, whose slots serve one attempt each."""
    project = folder / name
    (project / "api").mkdir(parents=True)
    settings = {"projectName": name, "apiAccess": {"enabled": True}, "isolation": "attempt",
                "replication": {"maxConcurrentRequests": concurrency}}
    (project / "Intuned.json").write_text(json.dumps(settings))
    if language == "ts":
        (project / "package.json").write_text(json.dumps({"name": name, "private": True}))
        (project / "api/ends.ts").write_text(TS_API)
    else:
        (project / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\nversion = "1.0.0"\nrequires-python = ">=3.10"\ndependencies = []\n')
        (project / "api/ends.py").write_text(PY_API)
    return project


@dataclass(frozen=True)
class Trail:
    """How an attempt can be found."""

    mark: str
    # The folder of its slot.
    slot: str
    # The inode of the socket on which it listens: its port may be somebody else's a moment after it is gone.
    socket: str


class Reports:
    """Where probes say that they are there."""

    def __init__(self) -> None:
        self._trails: dict[str, Trail] = {}
        self._arrived = threading.Condition()
        reports = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802 - the name is the library's
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                if "mark" in query:
                    with reports._arrived:
                        socket = next(inode for port, inode in listening() if port == int(query["port"]))
                        reports._trails[query["mark"]] = Trail(query["mark"], query.get("slot", ""), socket)
                        reports._arrived.notify_all()
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(b"<title>reported</title>")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/report"

    def trail(self, mark: str, seconds: float = MAX_REPORT_SECONDS) -> Trail:
        """Waits until the probe with this mark has said that it is there."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: mark in self._trails, seconds), f"{mark} never reported"
            return self._trails[mark]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def browser_files() -> set[str]:
    """What browsers have left in the places that everybody shares."""
    return {str(path) for place in (SHARED_MEMORY, TEMPORARY) for path in _entries(place) if path.name.startswith(BROWSER_FILES)}


def left_of(data_dir: Path, trail: Trail, *, is_slot_named_anew: bool = False) -> list[str]:
    """What is left of one attempt. After a start of another life of the server a slot of the same name may be there, which is
    another one; then only what carries the attempt's own mark counts."""
    slot = Path(trail.slot).name
    found = [f"process {one}" for one in mentioning(trail.mark)]
    found += [f"file {path}" for place in (SHARED_MEMORY, TEMPORARY, data_dir / "traces", data_dir / "builds")
              for path in _entries(place) if trail.mark in path.name]
    if is_slot_named_anew:
        found += [f"file {path}" for path in (data_dir / "slots").rglob(f"{trail.mark}*")]
        return found
    found += [f"process of the slot {one}" for one in _people_of(trail)] if slot else ["the slot is not known"]
    found += [f"folder {path}" for path in _entries(data_dir / "slots") if path.name in (slot, f"{slot}.pid")]
    if is_listening(trail):
        found.append(f"socket {trail.socket}")
    return found


def wait_until_nothing_is_left(data_dir: Path, trail: Trail, seconds: float) -> tuple[list[str], float]:
    """Waits until nothing is left of an attempt, at most so long; what still is, and how long it took, seconds."""
    began = time.monotonic()
    while (left := left_of(data_dir, trail)) and time.monotonic() - began < seconds:
        time.sleep(HOW_OFTEN_SECONDS)
    return left, time.monotonic() - began


def processes_of(trail: Trail) -> dict[int, str]:
    """The processes of an attempt's slot, with the path of what each runs."""
    found = {}
    for person in _people_of(trail):
        pid = int(person.split()[0])
        try:
            found[pid] = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
    return found


def _people_of(trail: Trail) -> list[str]:
    """Whoever carries the folder of a slot, and not one whose name only begins alike."""
    return matching(re.compile(re.escape(trail.slot) + r"(?![\w-])"))


def listening() -> list[tuple[int, str]]:
    """The TCP ports on which anybody listens, with the inodes of their sockets."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.append((int(fields[1].rpartition(":")[2], 16), fields[9]))
    return found


def is_listening(trail: Trail) -> bool:
    """Whether the socket of an attempt is still there."""
    return any(inode == trail.socket for _, inode in listening())


def descendants(pid: int) -> dict[int, str]:
    """Every process below another one, with its state."""
    children: dict[int, list[tuple[int, str]]] = {}
    for entry in _entries(Path("/proc")):
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        children.setdefault(int(parent), []).append((int(entry.name), state))
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for child, state in children.get(waiting.pop(), []):
            found[child] = state
            waiting.append(child)
    return found


def zombies(pid: int) -> list[int]:
    """Descendants of a process that have ended and that nobody takes note of."""
    def dead() -> set[int]:
        return {child for child, state in descendants(pid).items() if state == "Z"}

    # One that has only just ended is about to be noted.
    first = dead()
    if first:
        time.sleep(1)
    return sorted(first & dead()) if first else []


def _entries(folder: Path) -> list[Any]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
