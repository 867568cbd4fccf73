"""Several nodes over one PostgreSQL: what becomes of work when wires, processes and the database break under it.

Attempts are stubs here (`harness.stub`), lease times are compressed. The whole programme is acceptance A5; its short form is
the last test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from accept.a05_nodes import compressed
from accept.program import Report
from harness.cluster import COMPRESSED, Cluster
from harness.journal import Span
from harness.postgres import Postgres
from harness.proxy import Commits
from harness.stub import PLAIN, script

MAX_WAIT_SECONDS = 60


@pytest.fixture
def two(tmp_path: Path, postgres: Postgres) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, postgres, 2, COMPRESSED)
    yield cluster
    assert cluster.close() == [0] * len(cluster.nodes)


def started(cluster: Cluster, run: str, number: int) -> Span:
    """Waits until an attempt has been started."""
    return _eventually(lambda: next((span for span in cluster.journal().of_run(run) if span.number == number), None),
                       f"attempt {number} of {run}")


def ended(cluster: Cluster, run: str, number: int) -> Span:
    """Waits until an attempt has ended in order."""
    return _eventually(lambda: next((span for span in cluster.journal().of_run(run)
                                     if span.number == number and span.end is not None), None), f"the end of {run}/{number}")


def _eventually(look: Callable[[], Span | None], what: str) -> Span:
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while (seen := look()) is None:
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return seen


def node_of(cluster: Cluster, span: Span) -> int:
    return next(number for number, node in enumerate(cluster.nodes) if node.process.pid == span.process)


def verified(cluster: Cluster) -> None:
    done = cluster.verify()
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("how", ["cut", "hold", "swallow"])
def test_a_partitioned_node_ends_its_attempt_before_another_begins_the_next(two: Cluster, how: str) -> None:
    run = two.nodes[0].start_run(PLAIN, "work", parameters=script(sleep_ms=6_000), retry={"maximumAttempts": 2})
    first = started(two, run, 1)
    lost = node_of(two, first)
    getattr(two.wires[lost], how)()
    second = started(two, run, 2)
    first = ended(two, run, 1)
    assert first.end == "aborted" and first.ended_us is not None
    assert first.ended_us <= second.started_us, "two attempts of one run at a time"
    assert node_of(two, second) != lost
    two.wires[lost].heal()
    result = two.nodes[1 - lost].run_result(PLAIN, run)
    assert (result["status"], result["result"]["number"]) == ("completed", 2)
    two.wait_until_ready(lost)
    assert two.nodes[lost].run(PLAIN, "work", parameters=script())["status"] == "completed"
    verified(two)


def test_a_node_that_was_suspended_beyond_its_lease_commits_nothing(two: Cluster) -> None:
    run = two.nodes[0].start_run(PLAIN, "work", parameters=script(sleep_ms=3_000), retry={"maximumAttempts": 2})
    first = started(two, run, 1)
    node = two.nodes[node_of(two, first)]
    node.freeze()
    try:
        second = started(two, run, 2)
    finally:
        # Its own attempt is over the moment it wakes up, and it may even believe that it has succeeded.
        node.thaw()
    assert ended(two, run, 1).process == first.process
    result = two.nodes[node_of(two, second)].run_result(PLAIN, run)
    assert (result["status"], result["result"]["number"]) == ("completed", 2)
    attempts = node.attempts(PLAIN, run)
    assert [attempt["status"] for attempt in attempts] == ["failed", "succeeded"]
    verified(two)


def test_a_run_with_one_attempt_is_not_started_again_when_its_node_is_lost(two: Cluster) -> None:
    run = two.nodes[0].start_run(PLAIN, "work", parameters=script(hangs=True), retry={"maximumAttempts": 1}, requestTimeout=600)
    lost = node_of(two, started(two, run, 1))
    two.nodes[lost].kill()
    result = two.nodes[1 - lost].run_result(PLAIN, run)
    assert (result["status"], result["error"]["code"]) == ("failed", "internal-server-error")
    assert len(two.journal().of_run(run)) == 1
    two.nodes[lost].start()
    verified(two)


def test_an_outage_shorter_than_the_fence_costs_no_attempt(two: Cluster) -> None:
    run = two.nodes[0].start_run(PLAIN, "work", parameters=script(sleep_ms=2_500), retry={"maximumAttempts": 3})
    held_by = node_of(two, started(two, run, 1))
    for wire in two.wires:
        wire.cut()
    time.sleep(COMPRESSED.fence_ms / 1_000 / 4)
    for wire in two.wires:
        wire.heal()
    result = two.nodes[held_by].run_result(PLAIN, run)
    assert (result["status"], result["result"]["number"]) == ("completed", 1)
    verified(two)


@pytest.mark.parametrize("how", list(Commits))
def test_a_broken_commit_is_never_answered_with_a_lie(two: Cluster, how: Commits) -> None:
    node, wire = two.nodes[0], two.wires[0]
    body = {"api": "work", "parameters": script(sleep_ms=0)}
    accepted: dict[str, str] = {}
    for number in range(8):
        key = f"{how.name}-{number}"
        wire.break_commits(how, 1)
        try:
            response = node.post(f"/projects/{PLAIN}/run/start", body, **{"idempotency-key": key})
        except httpx.TransportError:
            continue  # it did not know, and said nothing
        finally:
            wire.heal()
        if response.status_code == 201:
            accepted[key] = response.json()["runId"]
        else:
            # A refusal is a promise too: nothing was committed, so the key is free for another body.
            assert response.status_code == 503, response.text
            other = {**body, "parameters": {**script(sleep_ms=0), "other": True}}
            again = two.nodes[1].post(f"/projects/{PLAIN}/run/start", other, **{"idempotency-key": key})
            assert again.status_code == 201, f"refused, and committed all the same: {again.text}"
    for key, run in accepted.items():
        again = two.nodes[1].post(f"/projects/{PLAIN}/run/start", body, **{"idempotency-key": key})
        assert (again.status_code, again.json()["runId"]) == (201, run)
        assert two.nodes[1].run_result(PLAIN, run)["status"] == "completed"
    assert wire.broken_commits > 0
    verified(two)


def test_a_node_that_ends_in_order_burns_no_attempt_and_fails_nothing(two: Cluster) -> None:
    leaving, staying = two.nodes
    runs = [staying.start_run(PLAIN, "work", parameters=script(sleep_ms=300), retry={"maximumAttempts": 1}) for _ in range(60)]
    assert leaving.stop() == 0
    results = [staying.run_result(PLAIN, run) for run in runs]
    assert [result["status"] for result in results] == ["completed"] * len(runs)
    assert all(len(staying.attempts(PLAIN, run)) == 1 for run in runs)
    journal = two.journal()
    assert {len(journal.of_run(run)) for run in runs} == {1}
    leaving.start()
    two.wait_until_ready(0)
    verified(two)


@pytest.mark.timeout(400)
def test_every_promise_holds_through_partitions_kills_and_restarts(tmp_path: Path, postgres: Postgres) -> None:
    report = Report("A5", "quick", 20)
    compressed(report, tmp_path, postgres, {"partition": 3, "commit": 2, "kill": 1, "freeze": 1, "postgres": 1})
    assert report.violations == []
