"""A18: what a server does when its disk, its database or its browser does not do its part.

- One call fails: the n-th write, sync or change of length of the database's files, for many n, in a fixed scenario with a
  crash right after a refusal in half of the cases. A refusal is true, also after the crash; what was acknowledged is there.
- Outages: for a while nothing can be written (full, read-only, broken). Writes are refused with 503 and Retry-After, reads go
  on, and within ten seconds after the end everything works again without a restart.
- Locks, a damaged file, a second server and a broken browser.
"""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from harness.faults import Outage, failing_at, has_failed
from harness.processes import wait_until_none_mention
from harness.server import BINARY, RUNTIME_DIR, UNFINISHED, Server
from harness.stub import PLAIN, StubServer, script

from .program import Report, main

TRIALS = {"quick": 120, "long": 5_000}
# The highest n of each call: beyond it the scenario makes no more of them.
PLACES = {"pwrite64": 600, "fdatasync,fsync": 80, "ftruncate": 3}
ERRORS = ("EIO", "ENOSPC")
OUTAGES = {"quick": 3, "long": 100}
OUTAGE_SECONDS = 3
MAX_RECOVERY_SECONDS = 10
MAX_SETTLE_SECONDS = 60
MAX_TRIES = 400
REQUESTS = 12
Violated = Callable[[str], None]


class Failing(StubServer):
    """A server of whose database calls one fails."""

    def __init__(self, folder: Path, call: str, error: str, number: int) -> None:
        self.record = folder / "record"
        self._prefix = failing_at(self.record, folder / "data", call, error, number)
        super().__init__(folder / "data", folder / "journal", "--shutdown-grace-s", "0")

    def mend(self) -> None:
        """From its next start on, nothing fails."""
        self._prefix = []


class Client:
    """Somebody who tries again when told to, and remembers what was promised and what was refused."""

    def __init__(self, server: StubServer, violated: Violated) -> None:
        self.server, self._violated = server, violated
        self.runs: list[str] = []
        self.refused: list[str] = []

    def start(self, key: str) -> int | None:
        """Starts a run; the status, or nothing when the connection was cut."""
        body = {"api": "work", "parameters": script(sleep_ms=5)}
        try:
            response = self.server.post(f"/projects/{PLAIN}/run/start", body, **{"idempotency-key": key})
        except httpx.TransportError:
            return None
        except AssertionError as error:
            self._violated(f"an answer breaks the contract: {error}"[:600])
            return None
        if response.status_code == 201:
            self.runs.append(response.json()["runId"])
        elif response.status_code == 503:
            self.refused.append(key)
        else:
            self._violated(f"a start is answered with {response.status_code} {response.text}"[:600])
        return response.status_code

    def settle(self) -> None:
        """Waits until everything that was promised has ended."""
        deadline = time.monotonic() + MAX_SETTLE_SECONDS
        for run in self.runs:
            while True:
                response = self.server.http.get(f"/projects/{PLAIN}/run/{run}/result")
                if response.status_code not in (200, 503):
                    return self._violated(f"{run}, which was acknowledged, is answered with {response.status_code}")
                if response.status_code == 200 and response.json()["status"] not in UNFINISHED:
                    break
                if time.monotonic() > deadline:
                    return self._violated(f"{run} does not end: {response.text}")
                time.sleep(0.02)


def one_failure(folder: Path, call: str, error: str, number: int, does_crash: bool, violated: Violated) -> bool:
    """The fixed scenario with one call that fails; whether that call was ever made."""
    where = f"{error} at {call} {number}{' and a crash' if does_crash else ''}"

    def broken(what: str) -> None:
        violated(f"{where}: {what}")

    folder.mkdir()
    try:
        server = Failing(folder, call, error, number)
    except AssertionError:
        # A start that cannot be made is refused; the next one, on a disk that works, is not.
        server = None
    if server is None:
        try:
            server = StubServer(folder / "data", folder / "journal", "--shutdown-grace-s", "0")
        except AssertionError as trouble:
            broken(f"the next start fails too: {trouble}"[:900])
            return True
        if not server.api_key:
            # The key of the start that failed was never shown; whoever owns the folder makes another.
            broken("a start that failed has used up the first key") if server.http.get("/projects").status_code == 200 else None
            server.stop()
            return True
    client = Client(server, broken)
    try:
        _deploy(server)
        has_crashed = False
        for request in range(REQUESTS):
            for attempt in range(MAX_TRIES):
                key = f"{request}-{attempt}"
                status = client.start(key)
                if status == 201:
                    break
                if does_crash and not has_crashed and status in (503, None):
                    has_crashed = True
                    server.kill()
                    _check_refusals(folder, client.refused, broken)
                    if isinstance(server, Failing):
                        server.mend()
                    server.start()
                    continue
                time.sleep(0.025)
            else:
                broken("it does not take anything any more")
                break
        client.settle()
    except (AssertionError, httpx.TransportError) as trouble:
        broken(f"{trouble!r}"[:900])
    finally:
        if server.process.poll() is None and server.stop() != 0:
            broken("the server does not end in order")
        server.http.close()
    wait_until_none_mention(str(folder / "record"), MAX_RECOVERY_SECONDS)
    _check_refusals(folder, client.refused, broken)
    verify(folder / "data", broken)
    return has_failed(folder / "record")


def _deploy(server: StubServer) -> None:
    for _ in range(3):
        try:
            return server.deploy_stubs()
        except AssertionError as trouble:
            last = trouble
            time.sleep(0.3)
    raise last


def _check_refusals(folder: Path, keys: list[str], broken: Violated) -> None:
    """A request that was refused has left nothing, whatever happened since. Looks at a copy, as it would be after a crash."""
    copy = folder / "copy"
    copy.mkdir(exist_ok=True)
    for path in (folder / "data").glob("keywright.db*"):
        if not path.name.endswith(("-shm", ".lock")):
            shutil.copy(path, copy / path.name)
    database = sqlite3.connect(copy / "keywright.db")
    found = [row[0] for row in database.execute("SELECT key FROM idempotency_keys")]
    database.close()
    shutil.rmtree(copy)
    for key in set(keys) & set(found):
        broken(f"the request with key {key} was refused, and is there")


def verify(data_dir: Path, broken: Violated) -> None:
    """`keywright verify` on a stopped store."""
    done = subprocess.run([BINARY, "verify", "--data-dir", str(data_dir)], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        broken(f"verify: {done.stdout[-800:]}{done.stderr[-800:]}")


def outage(server: StubServer, error: str, seconds: float, violated: Violated) -> float:
    """A while in which nothing can be written; how long after its end a run was completed again, seconds."""

    def broken(what: str) -> None:
        violated(f"outage {error}: {what}")

    client = Client(server, broken)
    assert client.start(f"before-{time.monotonic()}") == 201
    client.settle()
    known = client.runs[0]
    with Outage(server.process.pid, server.data_dir, error):
        end = time.monotonic() + seconds
        answers = 0
        while time.monotonic() < end:
            status = client.start(f"during-{time.monotonic()}")
            if status == 201:
                broken("a write is acknowledged")
            read = server.http.get(f"/projects/{PLAIN}/run/{known}/result")
            if (read.status_code, read.json().get("status")) != (200, "completed"):
                broken(f"a read is answered with {read.status_code}")
            answers += 1
            time.sleep(0.05)
        if httpx.get(f"{server.url}/health/live").status_code != 200:
            broken("it says that it is dead")
        if httpx.get(f"{server.url}/health/ready").status_code != 503:
            broken("it says that it is ready")
        if not answers or not client.refused:
            broken("nothing was refused")
    began = time.monotonic()
    while client.start(f"after-{time.monotonic()}") != 201:
        if time.monotonic() - began > MAX_RECOVERY_SECONDS:
            broken(f"not recovered after {MAX_RECOVERY_SECONDS} s")
            return MAX_RECOVERY_SECONDS
        time.sleep(0.05)
    client.settle()
    took = time.monotonic() - began
    if took > MAX_RECOVERY_SECONDS:
        broken(f"the first run was done after {took:.1f} s")
    return took


def locked(server: StubServer, seconds: float, violated: Violated) -> None:
    """Somebody else's tool holds the database's write lock."""
    client = Client(server, lambda what: violated(f"foreign lock: {what}"))
    guest = sqlite3.connect(server.data_dir / "keywright.db", isolation_level=None, timeout=30)
    guest.execute("BEGIN IMMEDIATE")
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            status = client.start(f"locked-{began}")
            if status == 201 and time.monotonic() < end:
                violated("foreign lock: a write is acknowledged")
            if time.monotonic() - began > MAX_RECOVERY_SECONDS:
                violated("foreign lock: a request hung")
            if server.http.get("/projects").status_code != 200:
                violated("foreign lock: a read is refused")
    finally:
        guest.execute("ROLLBACK")
        guest.close()
    if not client.refused:
        violated("foreign lock: nothing was refused")
    began = time.monotonic()
    while client.start(f"unlocked-{time.monotonic()}") != 201:
        if time.monotonic() - began > MAX_RECOVERY_SECONDS:
            return violated(f"foreign lock: not recovered after {MAX_RECOVERY_SECONDS} s")
        time.sleep(0.05)
    client.settle()
    return None


def start_refused(data_dir: Path) -> subprocess.CompletedProcess[str]:
    """A start that is expected to be refused."""
    command = [BINARY, "serve", "--data-dir", str(data_dir), "--listen", "127.0.0.1:0", "--runtime-dir", RUNTIME_DIR]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def damage(path: Path, dice: random.Random) -> bytes:
    """Overwrites a page of a database, not its first; what the file is then."""
    content = bytearray(path.read_bytes())
    page = dice.randrange(1, len(content) // 4096)
    content[page * 4096 : page * 4096 + 512] = dice.randbytes(512)
    path.write_bytes(content)
    return bytes(content)


def damaged(data_dir: Path, dice: random.Random, violated: Violated) -> None:
    """A stopped server's database is damaged; no server starts on it, and nothing is changed."""
    path = data_dir / "keywright.db"
    whole = path.read_bytes()
    content = damage(path, dice)
    refused = start_refused(data_dir)
    if refused.returncode == 0 or refused.stdout:
        violated("damaged: a server starts on a damaged database")
    if "keywright restore" not in refused.stderr or str(path) not in refused.stderr:
        violated(f"damaged: the refusal does not say what to do: {refused.stderr[-500:]}")
    if path.read_bytes() != content:
        violated("damaged: the damaged file was changed")
    path.write_bytes(whole)


def broken_browser(folder: Path, violated: Violated) -> None:
    """A browser that ends the moment it starts."""
    folder.mkdir()
    browser = folder / "browser"
    browser.write_text("#!/bin/sh\nexit 1\n")
    browser.chmod(0o755)
    probe = folder / "probe"
    (probe / "api").mkdir(parents=True)
    (probe / "Intuned.json").write_text('{"projectName": "probe", "apiAccess": {"enabled": true}}')
    (probe / "package.json").write_text('{"name": "probe", "private": true}')
    (probe / "api/title.ts").write_text("export default async (params: any, page: any) => page.title();\n")
    server = Server(folder / "data", env={"KEYWRIGHT_HEADLESS_SHELL_PATH": str(browser)})
    try:
        server.deploy(str(probe))
        result = server.run("probe", "title", retry={"maximumAttempts": 1})
        error = result.get("error") or {}
        if (result["status"], error.get("code"), error.get("category")) != ("failed", "internal-server-error", "infrastructure"):
            violated(f"broken browser: a run ends {result}")
        health = httpx.get(f"{server.url}/health")
        if health.status_code != 200 or "browser" not in str(health.json()["server"]["degraded"]):
            violated(f"broken browser: /health does not tell: {health.text[:600]}")
        if server.http.get("/projects").status_code != 200:
            violated("broken browser: the API does not go on")
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)


def measure(report: Report) -> None:
    """Makes disks, locks, files and browsers fail."""
    report.measured = "from the end of an outage to the first completed run"
    dice = random.Random(report.seed)
    hits: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="kw-a18-") as name:
        folder = Path(name)
        for trial in range(TRIALS[report.size]):
            call = dice.choice(list(PLACES))
            number = dice.randint(1, PLACES[call])
            scene = folder / f"trial-{trial}"
            if one_failure(scene, call, dice.choice(ERRORS), number, dice.random() < 0.5, report.violated):
                hits[call] = hits.get(call, 0) + 1
            shutil.rmtree(scene, ignore_errors=True)
            report.n += 1
            if trial % 20 == 19:
                report.say(f"{trial + 1} trials, {hits}")
        server = StubServer(folder / "data", folder / "journal", "--shutdown-grace-s", "0")
        server.deploy_stubs()
        for number in range(OUTAGES[report.size]):
            for error in ("ENOSPC", "EROFS", "EIO"):
                report.samples_ms.append(outage(server, error, OUTAGE_SECONDS, report.violated) * 1_000)
                report.n += 1
        locked(server, 7, report.violated)
        second = start_refused(server.data_dir)
        report.require(second.returncode != 0 and "uses the data folder" in second.stderr, f"a second server: {second.stderr}")
        report.require(server.stop() == 0, "the server does not end in order")
        verify(server.data_dir, report.violated)
        for _ in range(10):
            damaged(server.data_dir, dice, report.violated)
        broken_browser(folder / "browser", report.violated)
        report.n += 13
    report.figures["callsThatFailed"] = hits


if __name__ == "__main__":
    main("A18", measure)
