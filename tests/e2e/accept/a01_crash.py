"""A1, crash: `kill -9` of the server under load, at random moments and at every named point, on both databases.

A crowd of clients starts, repeats, cancels, deletes and reads, 20 times a second, and keeps a ledger of what it was promised.
After every kill `keywright verify` looks at what the next start finds. In the end every acknowledged id reads back, has
ended once and for all, has started at most as often as its budget says, and nothing is stuck.
"""

from __future__ import annotations

import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from harness.journal import Journal
from harness.ledger import Ledger
from harness.load import Load
from harness.postgres import Postgres
from harness.server import BINARY, ROOT
from harness.stub import PLAIN, StubServer

from .program import Report, main

OPERATIONS_PER_SECOND = 20
# Kills for each database, at random moments; each point is hit this often besides.
RANDOM_KILLS = {"quick": 90, "long": 2_400}
KILLS_PER_POINT = {"quick": 2, "long": 20}
# Points that others hold: those of the runner and of traces are killed with a real runner (tests/e2e/test_crash.py); for the
# others one node is too few and a minute too short.
ELSEWHERE = ("engine::trace-pending", "engine::rescued", "engine::history-expired")
# Points that a life passes once, at its start, and only when something is deployed.
AT_START, AT_DEPLOY = "engine::registered", "engine::build-finished"
# A server lives this long before it is killed, seconds.
LIFE_SECONDS = (0.1, 1.2)
# A point is passed so often before it kills.
MAX_PASSES = 12
# How long a server may take to come to a point under load.
MAX_REACH_SECONDS = 30
MAX_SETTLE_SECONDS = 120


def points() -> list[str]:
    """The named points that one server without runners comes to under this load."""
    lists = [ROOT / "crates/engine" / name for name in ("failpoints.txt", "failpoints-off-path.txt")]
    names = [line.split("#")[0].strip() for path in lists for line in path.read_text().splitlines()]
    return [name for name in names if name and name not in ELSEWHERE and not name.startswith("runner::")]


class Crash:
    """One database, its server, and the crowd."""

    def __init__(self, report: Report, folder: Path, seed: int, database: str | None) -> None:
        self.report = report
        self.dice = random.Random(seed)
        self.journal_path = folder / "journal"
        options = ["--database-url", database] if database else []
        self.server = StubServer(folder / "data", self.journal_path, *options)
        self.server.deploy_stubs()
        self._database = options
        self._is_up = threading.Event()
        self._is_up.set()
        self.ledger = Ledger(folder / "ledger")
        self.load = Load(self.ledger, self._up, seed, OPERATIONS_PER_SECOND, report.violated)
        self.reached: Counter[str] = Counter()

    def _up(self) -> list[StubServer]:
        return [self.server] if self._is_up.is_set() else []

    def kill_at_random(self) -> None:
        """One life that ends at any moment."""
        time.sleep(self.dice.uniform(*LIFE_SECONDS))
        self._is_up.clear()
        self.server.kill()
        self._again()

    def kill_at(self, point: str) -> None:
        """One life that ends at a point: the server that runs is replaced by one that is armed."""
        self._is_up.clear()
        self.server.kill()
        passes = 0 if point in (AT_START, AT_DEPLOY) else self.dice.randrange(MAX_PASSES)
        self._again({"KEYWRIGHT_FAILPOINT": point, "KEYWRIGHT_FAILPOINT_PASSES": str(passes)})
        if point == AT_DEPLOY:
            # It fails, because the server dies under it.
            self.server.cli("deploy", str(self.server.stub_folder(PLAIN)), check=False)
        try:
            self.server.process.wait(MAX_REACH_SECONDS)
        except subprocess.TimeoutExpired:
            self.report.violated(f"{point} was not reached")
            self.server.kill()
        else:
            self.server.note_death()
            self.report.require(self.server.process.returncode == -signal.SIGKILL, f"{point}: the server ended by itself")
            self.reached[point] += 1
        self._is_up.clear()
        self._again()

    def _again(self, env: dict[str, str] | None = None) -> None:
        """Looks at what the dead server left, and starts it again."""
        self.verify()
        self.report.n += 1
        if env:
            self.server.start_doomed(env)
        else:
            began = time.monotonic()
            self.server.start()
            self.report.samples_ms.append((time.monotonic() - began) * 1_000)
        self._is_up.set()

    def verify(self) -> None:
        """`keywright verify` on the stopped store."""
        command = [BINARY, "verify", "--data-dir", str(self.server.data_dir), *self._database]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        self.report.require(done.returncode == 0, f"verify: {done.stdout[-1500:]}{done.stderr[-1500:]}")

    def settle(self) -> dict[str, int]:
        """Ends the load and holds everything against the ledger and the journal."""
        self.load.stop()
        self.load.settle(self.server, MAX_SETTLE_SECONDS)
        journal = Journal(self.journal_path, deaths=self.server.deaths)
        overlaps = self.load.check(self.server, journal)
        self.report.require(self.server.stop() == 0, "the server did not end in order")
        self.verify()
        self.ledger.close()
        outcomes = Counter(promise.outcome["status"] for promise in self.ledger.acknowledged if promise.outcome)
        return {"acknowledged": len(self.ledger.acknowledged), "started": len(journal.spans), **outcomes,
                "canceledByClients": len(self.ledger.cancellations), "dyingBesideNext": overlaps}


def crash(report: Report, folder: Path, database: str | None, random_kills: int, kills_per_point: int) -> dict[str, int]:
    """Kills a server so often; figures of what became of everything."""
    run = Crash(report, folder, report.seed, database)
    plan: list[str | None] = [None] * random_kills + points() * kills_per_point
    run.dice.shuffle(plan)
    for number, point in enumerate(plan):
        if number % 25 == 0:
            report.say(f"{number} of {len(plan)} kills, {len(run.ledger.acknowledged)} acknowledged")
        if point is None:
            run.kill_at_random()
        else:
            run.kill_at(point)
    for point in points():
        report.require(run.reached[point] > 0 or kills_per_point == 0, f"{point} was never reached")
    return run.settle()


def measure(report: Report) -> None:
    """Kills the server under load on SQLite and on PostgreSQL."""
    report.measured = "from exec to ready"
    kills = RANDOM_KILLS[report.size], KILLS_PER_POINT[report.size]
    with tempfile.TemporaryDirectory(prefix="keywright-a01-") as folder:
        report.figures["sqlite"] = crash(report, Path(folder), None, *kills)
    postgres = Postgres()
    try:
        with tempfile.TemporaryDirectory(prefix="keywright-a01-") as folder:
            url = postgres.url(postgres.create_database())
            report.figures["postgres"] = crash(report, Path(folder), url, *kills)
    finally:
        postgres.close()


if __name__ == "__main__":
    main("A1", measure)
