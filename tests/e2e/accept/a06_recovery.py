"""A6, recovery: how long everything takes to work again, each against its limit: the worst time counts, not the mean.

Starts with ten thousand queued runs on both databases, lost nodes, cancellations, and outages of PostgreSQL.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import httpx

from harness.cluster import PRODUCTION, Cluster
from harness.journal import Journal
from harness.postgres import Postgres
from harness.stub import PLAIN, StubServer, script, uptime_us

from .a05_nodes import production
from .program import Report, main, percentile

T = TypeVar("T")
QUEUED = {"quick": 10_000, "long": 1_000_000}
REPEATS = {"quick": 20, "long": 200}
NODE_LOSSES = {"quick": 2, "long": 20}
CLIENTS = 8
# How long the database is away, seconds: shorter than the fence, so that no worker gives up.
OUTAGE_SECONDS = 2.0
# The limits, seconds.
READY = {"quick": 2.0, "long": 5.0}
FIRST_DISPATCH = 5.0
CANCEL_TO_DEAD = 10.0
DATABASE_BACK = 10.0


class Figures:
    """One series of times for each figure, held against its limit."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def take(self, name: str, limit_s: float, samples_s: list[float]) -> None:
        """Writes a series down; every time over the limit is a violation."""
        ordered = sorted(samples_s)
        self._report.n += len(ordered)
        self._report.figures[name] = {"n": len(ordered), "p50S": percentile(ordered, 0.5), "maxS": percentile(ordered, 1.0),
                                      "limitS": limit_s, "p50Ms": percentile([s * 1_000 for s in ordered], 0.5),
                                      "maxMs": percentile([s * 1_000 for s in ordered], 1.0)}
        self._report.say(f"{name}: {self._report.figures[name]}")
        for sample in ordered:
            self._report.require(sample <= limit_s, f"{name} took {sample:.1f} s, and {limit_s:.0f} are the most")


def fill(server: StubServer, count: int) -> None:
    """Queues runs that wait, behind some that never end by themselves."""
    body = {"api": "work", "parameters": script(hangs=True), "retry": {"maximumAttempts": 100}, "requestTimeout": 21_600}
    path = f"{server.url}/api/v1/workspace/{server.workspace_id}/projects/{PLAIN}/run/start"

    def post_many(share: int) -> None:
        with httpx.Client(headers={"x-api-key": server.api_key}, timeout=60) as http:
            for _ in range(share):
                assert http.post(path, json=body).status_code == 201

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(post_many, [count // CLIENTS] * CLIENTS))


def restarts(report: Report, figures: Figures, folder: Path, name: str, options: list[str]) -> None:
    """From the start of the process to the line that says it is ready, and from there to the first attempt."""
    journal_path = folder / "journal"
    server = StubServer(folder / "data", journal_path, *options)
    server.deploy_stubs()
    began = time.monotonic()
    fill(server, QUEUED[report.size])
    accepted_per_second = QUEUED[report.size] / (time.monotonic() - began)
    ready, dispatched = [], []
    for _ in range(REPEATS[report.size]):
        server.kill()
        began = time.monotonic()
        server.start()
        ready.append(time.monotonic() - began)
        process, since_us = server.process.pid, uptime_us()
        first = wait_for(lambda process=process: [
            span.started_us for span in Journal(journal_path, deaths={}).spans if span.process == process
        ], 4 * FIRST_DISPATCH)
        dispatched.append(max(0.0, (min(first) - since_us) / 1_000_000) if first else float("inf"))
    server.kill()
    figures.take(f"{name}: ready with {QUEUED[report.size]} queued runs", READY[report.size], ready)
    figures.take(f"{name}: first dispatch after that", FIRST_DISPATCH, dispatched)
    report.figures[f"{name}: accepted per second, {CLIENTS} clients"] = round(accepted_per_second)


def cancellations(report: Report, figures: Figures, folder: Path) -> None:
    """From the answer to a cancellation to the death of the attempt that ran."""
    journal_path = folder / "journal"
    server = StubServer(folder / "data", journal_path)
    server.deploy_stubs()
    took = []
    for _ in range(REPEATS[report.size]):
        run = server.start_run(PLAIN, "work", parameters=script(hangs=True), requestTimeout=600)
        running = wait_for(lambda run=run: Journal(journal_path, deaths={}).of_run(run), 10)
        assert running, "the run was not begun"
        assert server.post(f"/projects/{PLAIN}/run/{run}/cancel").status_code == 200
        answered_us = uptime_us()
        over = wait_for(lambda run=run: [
            span.ended_us for span in Journal(journal_path, deaths={}).of_run(run) if span.ended_us is not None
        ], 2 * CANCEL_TO_DEAD)
        took.append(max(0.0, (over[0] - answered_us) / 1_000_000) if over else float("inf"))
    assert server.stop() == 0
    figures.take("from a cancellation to the death of the attempt", CANCEL_TO_DEAD, took)


def outages(report: Report, figures: Figures, folder: Path, postgres: Postgres) -> None:
    """From the first moment the database takes connections again to a run that was accepted since and has completed."""
    cluster = Cluster(folder, postgres, 1, PRODUCTION)
    server = cluster.nodes[0]
    took = []
    for _ in range(REPEATS[report.size]):
        postgres.kill()
        time.sleep(OUTAGE_SECONDS)
        postgres.start()
        began = time.monotonic()
        while (run := accepted(server)) is None and time.monotonic() - began < 4 * DATABASE_BACK:
            time.sleep(0.05)
        if run is None:
            took.append(float("inf"))
            continue
        assert server.run_result(PLAIN, run)["status"] == "completed"
        took.append(time.monotonic() - began)
    assert cluster.close() == [0]
    figures.take("from the return of PostgreSQL to a completed run", DATABASE_BACK, took)


def accepted(server: StubServer) -> str | None:
    """The id of a run, if the server can accept one."""
    response = server.post(f"/projects/{PLAIN}/run/start", {"api": "work", "parameters": script(sleep_ms=0)})
    return response.json()["runId"] if response.status_code == 201 else None


def wait_for(look: Callable[[], list[T]], seconds: float) -> list[T]:
    """What there is to see, as soon as there is something; nothing if that takes too long."""
    deadline = time.monotonic() + seconds
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return seen


def measure(report: Report) -> None:
    """Takes everything away once, and measures how long it is missed."""
    figures = Figures(report)
    postgres = Postgres()
    try:
        for name, options in {"sqlite": [], "postgres": ["--database-url", postgres.url(postgres.create_database())]}.items():
            with tempfile.TemporaryDirectory(prefix="keywright-a06-") as folder:
                restarts(report, figures, Path(folder), name, options)
        with tempfile.TemporaryDirectory(prefix="keywright-a06-") as folder:
            cancellations(report, figures, Path(folder))
        with tempfile.TemporaryDirectory(prefix="keywright-a06-") as folder:
            outages(report, figures, Path(folder), postgres)
        with tempfile.TemporaryDirectory(prefix="keywright-a06-") as folder:
            production(report, Path(folder), postgres, NODE_LOSSES[report.size])
    finally:
        postgres.close()
    report.measured = "from the loss of a node to the next start of what it ran, with the times of production"


if __name__ == "__main__":
    main("A6", measure)
