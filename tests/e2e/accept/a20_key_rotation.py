"""A20: the keys are made anew while servers work, and the rotation is killed in the middle; nothing becomes unreadable.

A crowd starts, cancels and reads. Meanwhile `keywright keys rotate` runs again and again, and some of the runs are killed with
SIGKILL at a random moment, as is the server; the next run goes on from there. In the end everything sealed is opened
(`keywright verify --deep`), and a key that is not the right one is refused at the start, with nothing written.
"""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
import time
from pathlib import Path

from harness.journal import Journal
from harness.ledger import Ledger
from harness.load import Load
from harness.server import BINARY
from harness.stub import StubServer

from .a18_disk import start_refused
from .program import MAX_TOLD, Report, main

OPERATIONS_PER_SECOND = 20
ROTATIONS = {"quick": 10, "long": 500}
# Of the rotations, so many runs are killed before the one that is let through.
KILLS_PER_ROTATION = 2
# Of the rotations, every so many-th is accompanied by a kill of the server.
SERVER_KILL_EVERY = 3
MAX_ROTATION_SECONDS = 120
MAX_SETTLE_SECONDS = 90
# When a rotation is killed, seconds after its start: it takes about so long.
KILL_AFTER_SECONDS = (0.0, 0.6)


class Rotation:
    """A server under load whose keys change."""

    def __init__(self, report: Report, folder: Path) -> None:
        self._report = report
        self._dice = random.Random(report.seed)
        self._is_up = True
        self.killed = 0
        self.server = StubServer(folder / "data", folder / "journal", "--shutdown-grace-s", "0")
        self.server.deploy_stubs()
        self.ledger = Ledger(folder / "ledger")
        self.journal_path = folder / "journal"
        self.load = Load(self.ledger, self._servers, report.seed, OPERATIONS_PER_SECOND, report.violated)

    def _servers(self) -> list[StubServer]:
        return [self.server] if self._is_up else []

    def rotate(self, number: int) -> None:
        """One rotation, killed some times and then let through."""
        command = [BINARY, "keys", "rotate", "--json", "--data-dir", str(self.server.data_dir)]
        for _ in range(KILLS_PER_ROTATION):
            killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(self._dice.uniform(*KILL_AFTER_SECONDS))
            killed.kill()
            self.killed += killed.wait() < 0
            if number % SERVER_KILL_EVERY == 0:
                self._is_up = False
                self.server.kill()
                self.server.start()
                self._is_up = True
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MAX_ROTATION_SECONDS)
        self._report.samples_ms.append((time.monotonic() - began) * 1_000)
        if done.returncode != 0:
            self._report.violated(f"a rotation fails: {done.stdout[-500:]}{done.stderr[-500:]}")
            return
        answer = json.loads(done.stdout)
        self._report.require(answer.get("isFinished") is True and answer.get("damaged") == 0, f"a rotation ends with {answer}")

    def settle(self) -> None:
        """Ends the load, and holds everything against the ledger; then opens everything that is sealed."""
        self.load.stop()
        self.load.settle(self.server, MAX_SETTLE_SECONDS)
        self.load.check(self.server, Journal(self.journal_path, deaths=self.server.deaths))
        self._report.require(self.server.stop() == 0, "the server does not end in order")
        command = [BINARY, "verify", "--deep", "--json", "--data-dir", str(self.server.data_dir)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MAX_ROTATION_SECONDS)
        self._report.require(done.returncode == 0, f"verify: {done.stdout[-1000:]}{done.stderr[-500:]}")
        self._report.figures["sealedValues"] = json.loads(done.stdout).get("sealedValues")
        self.ledger.close()

    def wrong_key(self) -> None:
        """Another master key in the place of the right one."""
        key, database = self.server.data_dir / "master.key", self.server.data_dir / "keywright.db"
        right, before = key.read_bytes(), database.read_bytes()
        key.write_text("5a" * 32 + "\n")
        refused = start_refused(self.server.data_dir)
        self._report.require(refused.returncode != 0 and "key" in refused.stderr, f"a wrong key is taken: {refused.stderr[-300:]}")
        self._report.require(database.read_bytes() == before, "a start with a wrong key has written into the database")
        key.write_bytes(right)
        self.server.start()
        self._report.require(self.server.http.get("/projects").status_code == 200, "the right key does not work any more")
        self._report.require(self.server.stop() == 0, "the server does not end in order")


def measure(report: Report) -> None:
    """Rotates the keys under load and under kills."""
    report.measured = "a rotation that is let through"
    with tempfile.TemporaryDirectory(prefix="kw-a20-") as folder:
        rotation = Rotation(report, Path(folder))
        for number in range(ROTATIONS[report.size]):
            rotation.rotate(number)
            report.n += 1
        rotation.settle()
        if report.violations:
            errors = [line for line in rotation.server.log_path.read_text().splitlines() if "ERROR" in line]
            report.say("the server's errors:\n" + "\n".join(errors[:MAX_TOLD]))
        rotation.wrong_key()
        report.figures.update(rotationsKilled=rotation.killed, acknowledged=len(rotation.ledger.acknowledged))


if __name__ == "__main__":
    main("A20", measure)
