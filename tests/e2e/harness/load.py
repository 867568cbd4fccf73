"""A crowd of clients that starts, cancels, deletes and reads, whatever happens to the servers, and writes down what it was
promised. In the end every promise is held against what the servers say and against the journal of what they started.

A request without an answer is sent again with its key, as a client would. A refusal is believed: nothing was committed under
its key, which is tried out. The crowd never looks into a database; `keywright verify` does that.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx

from .journal import Journal, Span
from .ledger import Cancellation, Ledger, Promise
from .server import UNFINISHED
from .stub import LOGINS, PLAIN, StubServer, script, uptime_us

THREADS = 4
# Sessions that operations fight over.
SESSIONS = 12
# How long one attempt that never ends by itself may go on, seconds.
HANG_TIMEOUT_SECONDS = 1
# A request of the crowd that takes longer hangs, which no server may make it do.
MAX_ANSWER_SECONDS = 15
Violated = Callable[[str], None]


class Load:
    """The crowd. `servers` says who can be asked just now."""

    def __init__(self, ledger: Ledger, servers: Callable[[], list[StubServer]], seed: int, per_second: float,
                 violated: Violated) -> None:
        self.ledger = ledger
        self.answers: Counter[str] = Counter()
        # The longest time in which somebody was told that it does not work now, seconds.
        self.slowest_refusal_s = 0.0
        self.slowest_refusal_of = ""
        self._servers = servers
        self._random = random.Random(seed)
        self._seed = seed
        self._pause = THREADS / per_second
        self._violated = violated
        self._number = 0
        # Sessions that somebody has begun to make and nobody has deleted since, as far as the crowd knows.
        self._made: set[str] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"crowd {n}", daemon=True) for n in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the crowd; what it waits for is still answered."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    # --- what one client does --------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stopping.wait(self._pause * self._random.uniform(0.5, 1.5)):
            servers = self._servers()
            if not servers:
                continue
            server = self._random.choice(servers)
            try:
                self._act(server)
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
                if isinstance(error, httpx.ReadTimeout) and server.process.poll() is None and not server.was_frozen_lately:
                    self._violated(f"a request hung: {error}")
            except AssertionError as error:
                self._violated(f"an answer breaks the contract: {error}")

    def _act(self, server: StubServer) -> None:
        dice = self._random.random()
        if self.ledger.unanswered and dice < 0.3:
            promise = self.ledger.take_unanswered()
            if promise is not None:
                self._send(server, promise)
        elif dice < 0.60:
            self._send(server, self._new())
        elif dice < 0.68:
            self._repeat(server)
        elif dice < 0.78:
            self._cancel(server)
        elif dice < 0.82:
            session = self._session()
            self._made.discard(session)
            self._count(server, "delete", server.http.delete(
                f"/projects/{LOGINS}/auth-sessions/{session}", timeout=MAX_ANSWER_SECONDS), {204, 404})
        else:
            self._read(server)

    def _count(self, server: StubServer, what: str, response: httpx.Response, expected: set[int]) -> None:
        self.answers[f"{what} {response.status_code}"] += 1
        # A server that is stopped in its tracks answers nobody.
        if response.status_code == 503 and not server.was_frozen_lately:
            took = response.elapsed.total_seconds()
            if took > self.slowest_refusal_s:
                self.slowest_refusal_s, self.slowest_refusal_of = took, f"{what}: {response.json()['message']}"
        if response.status_code not in expected | {503}:
            self._violated(f"{what}: {response.status_code} {response.text[:300]}")

    def _session(self) -> str:
        return f"session-{self._random.randrange(SESSIONS)}"

    def _new(self) -> Promise:
        with self._lock:
            self._number += 1
            key = f"{self._seed}-{self._number}"
        kind = self._random.choices(["plain", "login", "create", "update", "validate"], [40, 20, 15, 10, 15])[0]
        attempts = self._random.randint(1, 3)
        # An update cannot be given a timeout, so it must not hang.
        behaviour = self._behaviour(attempts, may_hang=kind != "update")
        if kind == "plain":
            return _run(key, PLAIN, attempts, behaviour)
        session = self._session()
        if session not in self._made:
            self._made.add(session)
            kind = "create"
        if kind == "login":
            return _run(key, LOGINS, attempts, behaviour, session)
        return _operation(key, kind, session, attempts, behaviour)

    def _behaviour(self, attempts: int, *, may_hang: bool) -> dict[str, Any]:
        dice = self._random.random()
        if dice < 0.70:
            return script(sleep_ms=self._random.randint(0, 80))
        if dice < 0.80:
            return script(sleep_ms=self._random.randint(200, 600))
        if dice < 0.90:
            return script(failures=attempts - 1)
        if dice < 0.95:
            return script(failures=1_000)
        return script(hangs=True) if may_hang else script()

    def _send(self, server: StubServer, promise: Promise) -> None:
        try:
            response = server.http.post(promise.path, json=promise.body, headers={"idempotency-key": promise.key},
                                        timeout=MAX_ANSWER_SECONDS)
        except httpx.TransportError:
            self.ledger.leave_open(promise)
            raise
        self._count(server, promise.path.rpartition("/")[2], response, {201, 404})
        if response.status_code == 201:
            self.ledger.acknowledge(promise, response.json()[promise.id_member])
        elif not promise.was_left_open:
            self.ledger.refuse(promise, response.status_code)
        elif response.status_code == 503:
            # The refusal speaks of this request; the one before it may have been accepted.
            self.ledger.leave_open(promise)

    def _repeat(self, server: StubServer) -> None:
        """The same key names the same work, for ever; unless its session was deleted, when there is no such route."""
        promise = self._any()
        if promise is None:
            return
        response = server.http.post(promise.path, json=promise.body, headers={"idempotency-key": promise.key},
                                    timeout=MAX_ANSWER_SECONDS)
        self._count(server, "repeat", response, {201, 404})
        if response.status_code == 201 and response.json()[promise.id_member] != promise.id:
            self._violated(f"key {promise.key} names {promise.id} and {response.json()[promise.id_member]}")

    def _any(self) -> Promise | None:
        acknowledged = self.ledger.acknowledged
        return self._random.choice(acknowledged) if acknowledged else None

    def _cancel(self, server: StubServer) -> None:
        promise = self._any()
        if promise is None or not self._knows_run(server, promise):
            return
        self.ledger.cancel_asked.add(promise.run)
        response = server.http.post(f"/projects/{promise.project}/run/{promise.run}/cancel", json={},
                                    timeout=MAX_ANSWER_SECONDS)
        answered_us, answered_at = uptime_us(), time.time()
        self._count(server, "cancel", response, {200})
        if response.status_code == 200:
            self.ledger.cancel(Cancellation(promise.run, answered_us, answered_at))
            if response.json()["status"] in UNFINISHED:
                self._violated(f"{promise.run} is {response.json()['status']} after it was canceled")

    def _knows_run(self, server: StubServer, promise: Promise) -> bool:
        if promise.run is None:
            response = server.http.get(f"/projects/{promise.project}/operations/{promise.id}", timeout=MAX_ANSWER_SECONDS)
            self._count(server, "operation", response, {200})
            if response.status_code != 200:
                return False
            promise.run = response.json()["runId"]
        return True

    def _read(self, server: StubServer) -> None:
        promise = self._any()
        if promise is not None:
            response = server.http.get(promise.where, timeout=MAX_ANSWER_SECONDS)
            self._count(server, "result", response, {200})
            if response.status_code == 200:
                self._hold_outcome(promise, response.json())

    def _hold_outcome(self, promise: Promise, answer: dict[str, Any]) -> bool:
        """A terminal answer is written down, and never changes; whether it is terminal."""
        if answer["status"] in UNFINISHED:
            if promise.outcome is not None:
                self._violated(f"{promise.id} was {promise.outcome['status']} and is {answer['status']}")
            return False
        self.ledger.end(promise, answer)
        if promise.outcome != answer:
            self._violated(f"{promise.id} ended {json.dumps(promise.outcome)} and now reads {json.dumps(answer)}")
        return True

    # --- the reckoning ---------------------------------------------------------------------------------------------

    def settle(self, server: StubServer, seconds: float) -> None:
        """Waits until everything accepted has ended, and holds every promise. The crowd must have been stopped."""
        while (promise := self.ledger.take_unanswered()) is not None:
            self._send(server, promise)
        deadline = time.monotonic() + seconds
        waiting = list(self.ledger.acknowledged)
        while waiting:
            unfinished = []
            for promise in waiting:
                response = server.http.get(promise.where)
                if response.status_code != 200:
                    self._violated(f"LOST: {promise.id} was acknowledged and reads {response.status_code}")
                elif not self._hold_outcome(promise, response.json()):
                    unfinished.append(promise)
            if time.monotonic() > deadline:
                for promise in unfinished:
                    self._violated(f"STUCK: {promise.path} {promise.id}")
                return
            waiting = unfinished
            if waiting:
                time.sleep(0.2)

    def check(self, server: StubServer, journal: Journal) -> int:
        """Holds every run against the journal; returns how often something was taken over from an attempt that was canceled or
        whose process was stopped in its tracks, and that was not dead yet."""
        journal.check_attempts_start_once(self._violated)
        identities = Counter(promise.id for promise in self.ledger.acknowledged)
        for identity, count in identities.items():
            if count > 1:
                self._violated(f"{count} requests were answered with {identity}")
        for promise in self.ledger.acknowledged:
            if promise.outcome is not None and self._knows_run(server, promise):
                self._check_run(server, journal, promise)
        self._check_refusals(server)
        overlaps = journal.check_one_at_a_time(self._violated)
        return overlaps + journal.check_single_flight(self._is_excused, self._violated)

    def _is_excused(self, span: Span) -> bool:
        return span.run in self.ledger.cancel_asked

    def _check_run(self, server: StubServer, journal: Journal, promise: Promise) -> None:
        run = promise.run
        assert run is not None and promise.outcome is not None
        response = server.http.get(f"/projects/{promise.project}/run/{run}/attempts")
        assert response.status_code == 200, response.text
        attempts = response.json()["attempts"]
        if [attempt["number"] for attempt in attempts] != list(range(1, len(attempts) + 1)):
            self._violated(f"{run}: attempts are numbered {[attempt['number'] for attempt in attempts]}")
        if any(attempt["status"] == "running" for attempt in attempts):
            self._violated(f"{run} has ended, and an attempt of it is still open")
        journal.check_budget(run, promise.budgets, self._violated)
        spans = journal.of_run(run)
        for span in spans:
            if span.number > len(attempts) or attempts[span.number - 1]["stage"] != span.stage:
                self._violated(f"{run}/{span.number} was started as {span.stage} and is not recorded as that")
        if not promise.is_operation:
            self._check_result(promise, attempts, spans)
        cancellation = self.ledger.cancellations.get(run)
        if cancellation is not None:
            journal.check_dead_after_cancel(run, cancellation.answered_us, self._violated)
            # An attempt is begun in the database and then started, so one that was begun before may start a moment after.
            for attempt in attempts:
                if _seconds(attempt["startedAt"]) > cancellation.answered_at:
                    self._violated(f"{run}/{attempt['number']} was begun after the cancellation was answered")

    def _check_result(self, promise: Promise, attempts: list[dict[str, Any]], spans: list[Span]) -> None:
        """P3: a completed run has the result of its one successful attempt, and nobody started it after that."""
        assert promise.outcome is not None
        succeeded = [a["number"] for a in attempts if a["stage"] == "api" and a["status"] == "succeeded"]
        if promise.outcome["status"] != "completed":
            if succeeded:
                self._violated(f"{promise.run} is {promise.outcome['status']}, and attempt {succeeded} succeeded")
            return
        result = promise.outcome["result"]
        last = spans[-1] if spans else None
        if succeeded != [result["number"]] or result["run"] != promise.run:
            self._violated(f"{promise.run} has the result {result}, and succeeded attempts {succeeded}")
        elif last is None or (last.number, last.process) != (result["number"], result["process"]):
            self._violated(f"{promise.run} has the result {result}, and was started last as {last}")

    def _check_refusals(self, server: StubServer) -> None:
        """I25: nothing was committed under a key whose request was refused, so the key is free for something else."""
        for key, status in list(self.ledger.refused.items())[:500]:
            other = _run(key, PLAIN, 1, script(sleep_ms=0))
            response = server.post(other.path, {**other.body, "parameters": {**script(sleep_ms=0), "other": True}},
                                   **{"idempotency-key": key})
            if response.status_code != 201:
                self._violated(f"{status} was answered under the key {key}, and something was committed: {response.text[:200]}")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _run(key: str, project: str, attempts: int, behaviour: dict[str, Any], session: str | None = None) -> Promise:
    body: dict[str, Any] = {"api": "work", "parameters": behaviour, "retry": {"maximumAttempts": attempts},
                            "requestTimeout": HANG_TIMEOUT_SECONDS}
    budgets = {"api": attempts}
    if session is not None:
        body["authSession"] = {"id": session, "autoRecreate": True, "checkAttempts": 2, "createAttempts": 2}
        budgets |= {"check": 2, "create": 2, "post-check": 2}
    start = f"/projects/{project}/run/start"
    return Promise(key, start, body, budgets, "runId", f"/projects/{project}/run/{{}}/result", project)


def _operation(key: str, kind: str, session: str, attempts: int, behaviour: dict[str, Any]) -> Promise:
    base = f"/projects/{LOGINS}/auth-sessions"
    body: dict[str, Any] = {"createAttempts": attempts, "checkAttempts": 2, "requestTimeout": HANG_TIMEOUT_SECONDS}
    budgets = {"create": attempts, "post-check": 2}
    match kind:
        case "create":
            path, result = f"{base}/create", f"{base}/create/{{}}/result"
            body |= {"id": session, "parameters": behaviour}
        case "update":
            path, result = f"{base}/{session}/update", f"{base}/{session}/update/{{}}/result"
            body |= {"parameters": behaviour}
        case "validate":
            path, result = f"{base}/{session}/validate/start", f"{base}/{session}/validate/{{}}/result"
            body |= {"autoRecreate": True}
            budgets["check"] = 2
        case _:
            raise ValueError(kind)
    return Promise(key, path, body, budgets, "operationId", result, LOGINS)
