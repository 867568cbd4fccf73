"""A7: a server that works without a pause does not grow.

Real runs in real browsers, two at a time, in both languages, with logins and without; some crash, some time out, some are
canceled. What the server holds (memory, descriptors, threads) is sampled once the warm-up is over, and what it leaves (dead
and orphaned processes, temporary files, shared memory, write-ahead log, database) is looked at while it runs and at the end.

Memory is what the process has for itself (`RssAnon`): pages of its program's file come and go with the machine's memory. Of
each half minute the least counts: archives and traces take megabytes while they are worked on, and a leak is what does not go
away.
"""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.leftovers import browser_files, descendants, zombies
from harness.processes import mentioning, wait_until_none_mention
from harness.server import Server
from harness.site import Site

from .program import Report, main

SECONDS = {"quick": 9 * 60, "long": 24 * 60 * 60}
WARM_UP_SECONDS = {"quick": 180, "long": 30 * 60}
WINDOW_SECONDS = {"quick": 30, "long": 10 * 60}
SAMPLE_SECONDS = 2
AT_ONCE = 2
# Runs that are started, read and canceled before anything is measured: SQLite keeps up to 2 MiB of pages for each connection,
# and what it keeps grows with the database until then. A bounded cache that fills is no leak.
FILLING_RUNS = 2_000
LOGIN_USER = ("ada", "lovelace-1815")

MAX_SLOPE_MIB_PER_10_MIN = 1.0
MAX_DESCRIPTORS_MORE = 5
MAX_THREADS_MORE = 2
MAX_WAL_BYTES = 64 << 20
# How much larger the file may be than what is in it: free pages wait to be used again.
MAX_SLACK = 1.5
MAX_LEFT_SECONDS = 10

RETURNS, CRASHES, TIMES_OUT, IS_CANCELED = "returns", "crashes", "times out", "is canceled"
SHARES = {RETURNS: 75, CRASHES: 10, TIMES_OUT: 10, IS_CANCELED: 5}
EXPECTED = {RETURNS: "completed", CRASHES: "failed", TIMES_OUT: "failed", IS_CANCELED: "canceled"}


@dataclass(frozen=True)
class Sample:
    """What the server's process holds at a moment."""

    at: float
    memory_kib: int
    descriptors: int
    threads: int
    wal_bytes: int


class Soak:
    """A server at work."""

    def __init__(self, report: Report, folder: Path) -> None:
        self._report = report
        self._dice = random.Random(report.seed)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.done: Counter[str] = Counter()
        self.site = Site()
        self.before = browser_files()
        self.server = Server(folder / "data", "--concurrency", str(AT_ONCE))
        for project in ("examples/fixtures/unruly-ts", "examples/fixtures/unruly-py", "examples/shop-ts"):
            self.server.deploy(project)
        parameters = {"username": LOGIN_USER[0], "password": LOGIN_USER[1], "baseUrl": self.site.url}
        made = self.server.create("shop-ts", id="ada", parameters=parameters)
        assert made["status"] == "done", made

    def work(self) -> None:
        """One client: run after run until it is told to stop."""
        while not self._stopping.is_set():
            with self._lock:
                kind = self._dice.choices(list(SHARES), list(SHARES.values()))[0]
                project = self._dice.choice(("unruly-ts", "unruly-py", "shop-ts"))
            began = time.monotonic()
            try:
                self._one(kind, project)
            except Exception as trouble:  # noqa: BLE001 - a client that cannot go on is a finding, not an end
                self._report.violated(f"a client: {trouble!r}"[:500])
                self._stopping.wait(1)
                continue
            with self._lock:
                self.done[kind] += 1
                if kind == RETURNS:
                    self._report.samples_ms.append((time.monotonic() - began) * 1_000)

    def fill(self) -> None:
        """Fills what is bounded."""
        def some() -> None:
            http = self.server.client(self.server.api_key)
            for _ in range(FILLING_RUNS // AT_ONCE):
                body = {"api": "hangs", "parameters": {}, "retry": {"maximumAttempts": 1}, "saveTrace": False}
                run = http.post("/projects/unruly-ts/run/start", json=body).json()["runId"]
                assert http.post(f"/projects/unruly-ts/run/{run}/cancel").status_code == 200
                assert http.get(f"/projects/unruly-ts/run/{run}/result").json()["status"] == "canceled"

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for filled in [pool.submit(some) for _ in range(AT_ONCE)]:
                filled.result()

    def _one(self, kind: str, project: str) -> None:
        server, once = self.server, {"retry": {"maximumAttempts": 1}}
        if kind == RETURNS and project == "shop-ts":
            result = server.run(project, "orders", parameters={"baseUrl": self.site.url, "limit": 3}, authSession={"id": "ada"})
        else:
            project = "unruly-ts" if project == "shop-ts" else project
            api = {RETURNS: "echo", CRASHES: "exits", TIMES_OUT: "hangs", IS_CANCELED: "hangs"}[kind]
            parameters = {"visit": f"{self.site.url}/ping/soak/api"}
            limits = {"requestTimeout": 2} if kind == TIMES_OUT else {}
            run = server.start_run(project, api, parameters=parameters, **once, **limits)
            if kind == IS_CANCELED:
                self._stopping.wait(self._dice.uniform(0, 2))
                assert server.post(f"/projects/{project}/run/{run}/cancel").status_code == 200
            result = server.run_result(project, run)
        self._report.require(result["status"] == EXPECTED[kind], f"a run of {project} that {kind} ends {result}"[:500])

    def sample(self) -> Sample:
        """What the server holds now."""
        process = Path(f"/proc/{self.server.process.pid}")
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
        wal = self.server.data_dir / "keywright.db-wal"
        return Sample(time.monotonic(), int(status["RssAnon"].split()[0]), len(os.listdir(process / "fd")), int(status["Threads"]),
                      wal.stat().st_size if wal.exists() else 0)

    def run(self, seconds: float, warm_up: float) -> list[Sample]:
        """Works so long; the samples taken after the warm-up."""
        began = time.monotonic()
        self.fill()
        self._report.say(f"filled in {time.monotonic() - began:.0f} s")
        threads = [threading.Thread(target=self.work) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        samples, told = [], 0.0
        while (passed := time.monotonic() - began) < seconds and self.server.process.poll() is None:
            time.sleep(SAMPLE_SECONDS)
            if passed > warm_up:
                samples.append(self.sample())
            if passed - told > 60:
                told = passed
                self._report.say(f"{passed:.0f} s, {sum(self.done.values())} runs, {self.sample()}")
        if self.server.process.poll() is not None:
            self._report.violated(f"the server ended by itself: {self.server.log_path.read_text()[-1000:]}")
        self._stopping.set()
        for thread in threads:
            thread.join()
        return samples

    def look_around(self) -> dict[str, int]:
        """What is left on the machine while the server rests, and after it has ended."""
        report, server = self._report, self.server
        dead = zombies(server.process.pid)
        report.require(not dead, f"zombies: {dead}")
        own = {server.process.pid, *descendants(server.process.pid)}
        deadline = time.monotonic() + MAX_LEFT_SECONDS
        while (orphans := [one for one in mentioning(str(server.data_dir)) if int(one.split()[0]) not in own]) and \
                time.monotonic() < deadline:
            time.sleep(0.2)
            own = {server.process.pid, *descendants(server.process.pid)}
        report.require(not orphans, f"orphans: {orphans}")
        report.require(server.stop() == 0, "the server does not end in order")
        people = wait_until_none_mention(str(server.data_dir), MAX_LEFT_SECONDS)
        report.require(not people, f"outlived the server: {people}")
        left = browser_files() - self.before
        report.require(not left, f"files in shared places: {sorted(left)[:10]}")
        for name in ("slots", "traces", "builds"):
            entries = [path.name for path in (server.data_dir / name).iterdir()]
            report.require(not entries, f"{name}/ is not empty: {entries[:10]}")
        return {"zombies": len(dead), "orphans": len(orphans), "filesLeft": len(left)}


def slope_per_s(samples: list[Sample], window_s: float) -> float:
    """How fast the memory grows that is never given back: the least of each window, and the median of the slopes between any
    two of them."""
    least: dict[int, tuple[float, int]] = {}
    for sample in samples:
        window = int((sample.at - samples[0].at) / window_s)
        least[window] = min(least.get(window, (sample.at, sample.memory_kib)), (sample.at, sample.memory_kib), key=lambda one: one[1])
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(least.values(), 2))


def growth(samples: list[int]) -> float:
    """How much more the last third holds than the first."""
    third = len(samples) // 3
    return statistics.median(samples[-third:]) - statistics.median(samples[:third])


def slack(database: Path) -> tuple[int, float]:
    """The size of a database, and how much larger that is than what is in it."""
    packed = database.with_name("packed.db")
    connection = sqlite3.connect(database)
    connection.execute("VACUUM INTO ?", (str(packed),))
    connection.close()
    size = database.stat().st_size
    return size, size / packed.stat().st_size


def measure(report: Report) -> None:
    """Lets a server work and looks whether it grows."""
    report.measured = "a run that returns, from its start to its result"
    with tempfile.TemporaryDirectory(prefix="kw-a07-") as folder:
        soak = Soak(report, Path(folder))
        try:
            samples = soak.run(SECONDS[report.size], WARM_UP_SECONDS[report.size])
            left = soak.look_around()
        finally:
            soak.site.close()
        slope = slope_per_s(samples, WINDOW_SECONDS[report.size]) * 600 / 1024
        descriptors = growth([sample.descriptors for sample in samples])
        threads = growth([sample.threads for sample in samples])
        wal = max(sample.wal_bytes for sample in samples)
        size, larger = slack(soak.server.data_dir / "keywright.db")
        report.require(slope < MAX_SLOPE_MIB_PER_10_MIN, f"memory grows by {slope:.2f} MiB in 10 minutes")
        report.require(abs(descriptors) <= MAX_DESCRIPTORS_MORE, f"{descriptors} more descriptors")
        report.require(abs(threads) <= MAX_THREADS_MORE, f"{threads} more threads")
        report.require(wal < MAX_WAL_BYTES, f"the write-ahead log has {wal} bytes")
        report.require(larger < MAX_SLACK, f"the database is {larger:.2f} times as large as what is in it")
        report.n = sum(soak.done.values())
        report.figures.update(
            runs=dict(soak.done), seconds=SECONDS[report.size], memorySlopeMiBPer10Min=round(slope, 2),
            memoryMiB=round(samples[-1].memory_kib / 1024, 1), descriptorsMore=descriptors, threadsMore=threads,
            maxWalBytes=wal, databaseBytesPerRun=round(size / (report.n + FILLING_RUNS)), databaseSlack=round(larger, 2), **left)


if __name__ == "__main__":
    main("A7", measure)
