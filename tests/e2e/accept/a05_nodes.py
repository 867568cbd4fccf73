"""A5, nodes: three nodes over one PostgreSQL, partitions, suspended and killed nodes, restarts of the database, under load.

Most of it runs with lease times that are compressed fifteenfold, so that many faults fit; the last part runs with the times
of production. A ledger holds what was acknowledged, a journal what was started, and `keywright verify` what is stored.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from harness.cluster import COMPRESSED, PRODUCTION, Cluster, Terms
from harness.ledger import Ledger
from harness.load import Load
from harness.postgres import Postgres
from harness.proxy import Commits
from harness.stub import PLAIN, script, uptime_us

from .program import Report, main, percentile

NODES = 3
OPERATIONS_PER_SECOND = 20
# How often each fault is made with compressed times.
FAULTS = {
    "quick": {"partition": 20, "commit": 10, "kill": 10, "freeze": 5, "postgres": 3},
    "long": {"partition": 200, "commit": 100, "kill": 100, "freeze": 50, "postgres": 50},
}
# How often a node is killed for good with the times of production.
PRODUCTION_KILLS = {"quick": 3, "long": 30}
# Attempts that are under way on a node when it is lost, with the times of production.
RUNS_PER_KILL = 6
MAX_REDISPATCH_SECONDS = 40
# Whoever writes while the database is away is told so within this time.
MAX_REFUSAL_SECONDS = 5.5
MAX_SETTLE_SECONDS = 180


class Chaos:
    """Makes one fault at a time, on one node or on the database."""

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self._cluster = cluster
        self._dice = dice
        self.made: Counter[str] = Counter()

    def make(self, fault: str) -> None:
        number = self._dice.randrange(NODES)
        ttl = self._cluster.terms.ttl_ms / 1_000
        self.made[fault] += 1
        match fault:
            case "partition":
                wire = self._cluster.wires[number]
                self._dice.choice([wire.cut, wire.hold, wire.swallow])()
                # From a hiccup to far beyond the time after which others take over.
                time.sleep(self._dice.choice([0.2, 0.6, 1.0, 1.5, 2.5, 4.0]) * ttl)
                wire.heal()
            case "commit":
                wire = self._cluster.wires[number]
                wire.break_commits(self._dice.choice(list(Commits)), self._dice.randint(1, 5))
                time.sleep(ttl / 2)
                wire.heal()
            case "kill":
                node = self._cluster.nodes[number]
                node.kill()
                # Sometimes it is back before anybody has noticed, sometimes others have taken over long since.
                time.sleep(self._dice.choice([0.0, 0.5, 2.5]) * ttl)
                node.start()
            case "freeze":
                node = self._cluster.nodes[number]
                node.freeze()
                time.sleep(self._dice.uniform(1.2, 3.0) * ttl)
                node.thaw()
            case "postgres":
                self._cluster.postgres.kill()
                time.sleep(self._dice.choice([0.0, 0.5, 2.0]) * ttl)
                self._cluster.postgres.start()
            case _:
                raise ValueError(fault)
        time.sleep(self._dice.uniform(0.1, 0.8) * ttl)


def compressed(report: Report, folder: Path, postgres: Postgres, faults: dict[str, int], terms: Terms = COMPRESSED) -> None:
    """Every fault under load, then the reckoning."""
    dice = random.Random(report.seed)
    cluster = Cluster(folder, postgres, NODES, terms)
    ledger = Ledger(folder / "ledger")
    load = Load(ledger, cluster.up, report.seed, OPERATIONS_PER_SECOND, report.violated)
    chaos = Chaos(cluster, dice)
    plan = [fault for fault, count in faults.items() for _ in range(count)]
    dice.shuffle(plan)
    for number, fault in enumerate(plan):
        report.say(f"{number + 1} of {len(plan)}: {fault}; {len(ledger.acknowledged)} acknowledged")
        chaos.make(fault)
    load.stop()
    ready = [cluster.wait_until_ready(number) for number in range(NODES)]
    load.settle(cluster.nodes[0], MAX_SETTLE_SECONDS)
    journal = cluster.journal()
    overlaps = load.check(cluster.nodes[0], journal)
    is_quick = load.slowest_refusal_s <= MAX_REFUSAL_SECONDS
    report.require(is_quick, f"a refusal took {load.slowest_refusal_s:.1f} s ({load.slowest_refusal_of})")
    verify(report, cluster)
    report.require(cluster.close() == [0] * NODES, "a node did not end in order")
    ledger.close()
    report.n += len(plan)
    report.figures["compressed"] = {
        **chaos.made,
        "acknowledged": len(ledger.acknowledged),
        "started": len(journal.spans),
        "outcomes": Counter(promise.outcome["status"] for promise in ledger.acknowledged if promise.outcome),
        "answers": load.answers,
        "overlapsOfStoppedOrCanceled": overlaps,
        "slowestRefusalS": round(load.slowest_refusal_s, 2),
        "slowestReadyAfterHealingS": round(max(ready), 2),
    }


def production(report: Report, folder: Path, postgres: Postgres, kills: int) -> None:
    """Nodes are lost for good, with the times of production: how long until others have begun what they ran."""
    cluster = Cluster(folder, postgres, NODES, PRODUCTION)
    started: list[str] = []
    for kill in range(kills):
        number = kill % NODES
        waiting = occupy(cluster, number, started)
        cluster.nodes[number].kill()
        killed_us = uptime_us()
        took = wait_for_redispatch(cluster, waiting, killed_us)
        report.samples_ms += [seconds * 1_000 for seconds in took]
        missing = len(waiting) - len(took)
        report.require(missing == 0, f"{missing} runs of a lost node were not begun again")
        slowest = max(took, default=0.0)
        report.require(slowest <= MAX_REDISPATCH_SECONDS, f"a lost node's run was begun again after {slowest:.1f} s")
        report.say(f"kill {kill + 1} of {kills}: {len(took)} begun again within {slowest:.1f} s")
        report.n += 1
        survivor = cluster.nodes[(number + 1) % NODES]
        while started:
            assert survivor.post(f"/projects/{PLAIN}/run/{started.pop()}/cancel").status_code == 200
        cluster.nodes[number].start()
        cluster.wait_until_ready(number)
    journal = cluster.journal()
    journal.check_attempts_start_once(report.violated)
    journal.check_one_at_a_time(report.violated)
    verify(report, cluster)
    report.require(cluster.close() == [0] * NODES, "a node did not end in order")
    ordered = sorted(report.samples_ms)
    report.figures["production"] = {"kills": kills, "redispatchP50S": (percentile(ordered, 0.5) or 0) / 1_000,
                                    "redispatchMaxS": (percentile(ordered, 1.0) or 0) / 1_000}


def occupy(cluster: Cluster, number: int, started: list[str]) -> list[str]:
    """Starts runs that never end by themselves until the node has as many of them as it should lose; those runs."""
    node = cluster.nodes[number]
    deadline = time.monotonic() + MAX_SETTLE_SECONDS
    while True:
        process = node.process.pid
        journal = cluster.journal()
        held = [span.run for span in journal.spans if span.process == process and journal.over_us(span) is None]
        if len(held) >= RUNS_PER_KILL:
            return held
        assert time.monotonic() < deadline, "the node takes no runs"
        body = {"parameters": script(hangs=True), "retry": {"maximumAttempts": 3}, "requestTimeout": 600}
        started.append(node.start_run(PLAIN, "work", **body))
        time.sleep(0.1)


def wait_for_redispatch(cluster: Cluster, runs: list[str], since_us: int) -> list[float]:
    """How long it took until each of the runs was begun by somebody else, seconds; without those that were not in time."""
    while True:
        begun = {span.run: span.started_us for span in cluster.journal().spans if span.started_us > since_us}
        took = [(begun[run] - since_us) / 1_000_000 for run in runs if run in begun]
        if len(took) == len(runs) or uptime_us() - since_us > 2 * MAX_REDISPATCH_SECONDS * 1_000_000:
            return took
        time.sleep(0.1)


def verify(report: Report, cluster: Cluster) -> None:
    """`keywright verify` on the live database."""
    done = cluster.verify()
    report.require(done.returncode == 0, f"verify: {done.stdout[-1500:]}{done.stderr[-1500:]}")


def measure(report: Report) -> None:
    """Breaks three nodes and their database in every way there is a name for."""
    report.measured = "from the loss of a node to the next start of what it ran, with the times of production"
    postgres = Postgres()
    try:
        with tempfile.TemporaryDirectory(prefix="keywright-a05-") as folder:
            compressed(report, Path(folder), postgres, FAULTS[report.size])
        with tempfile.TemporaryDirectory(prefix="keywright-a05-") as folder:
            production(report, Path(folder), postgres, PRODUCTION_KILLS[report.size])
    finally:
        postgres.close()


if __name__ == "__main__":
    main("A5", measure)
