"""The server on PostgreSQL, with one real worker and Chromium; and what it says while the database is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from conftest import make_login
from harness.cluster import PRODUCTION, Cluster
from harness.postgres import Postgres
from harness.processes import wait_until_none_mention
from harness.proxy import FaultProxy
from harness.server import Server
from harness.site import Site
from harness.stub import PLAIN, script
from test_client import finished, sync_client

# Within this time a writing request is told that it cannot be served.
MAX_REFUSAL_SECONDS = 5
# How much later than promised an answer may come on a machine that does other things too.
SLACK_SECONDS = 2


@pytest.fixture
def one(tmp_path: Path, postgres: Postgres) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, postgres, 1, PRODUCTION)
    yield cluster
    assert cluster.close() == [0]


def test_a_login_and_a_run_live_on_postgres_and_outlive_the_server(tmp_path: Path, postgres: Postgres, site: Site) -> None:
    login = make_login(site)
    database = postgres.create_database()
    server = Server(tmp_path / "data", "--database-url", postgres.url(database))
    server.deploy("examples/shop-ts")
    with sync_client(server) as client:
        sessions, runs = client.projects.auth_sessions, client.projects.runs
        started = sessions.create.start(project_name="shop-ts", body={
            "id": "ada", "parameters": login.parameters, "saveTrace": True})
        created = finished(lambda: sessions.create.result(project_name="shop-ts", operation_id=started.operation_id))
        assert (created.status, created.auth_session_id) == ("done", "ada")
        run = runs.start(project_name="shop-ts", body={
            "api": "orders", "parameters": {"baseUrl": site.url, "limit": 3}, "authSession": {"id": "ada"}})
        result = finished(lambda: runs.result(project_name="shop-ts", run_id=run.run_id))
        assert (result.status, result.result["count"]) == ("completed", 3)
    assert [attempt["stage"] for attempt in server.attempts("shop-ts", run.run_id)] == ["check", "api"]
    assert server.log("shop-ts", run.run_id, 2)
    before = server.http.get(f"/projects/shop-ts/run/{run.run_id}/result").json()
    server.kill()
    assert wait_until_none_mention(str(server.data_dir), 10) == []
    server.start()
    assert server.http.get(f"/projects/shop-ts/run/{run.run_id}/result").json() == before
    assert server.session("shop-ts", "ada")["status"] == "READY"
    assert site.seen(login.username)["loginsSucceeded"] == 1
    stored = "".join(text for row in postgres.query(database, "SELECT s::text FROM auth_sessions s") for text in row)
    assert login.password not in stored
    assert server.stop() == 0
    assert not (server.data_dir / "keywright.db").exists(), "a server on PostgreSQL needs no other database"


def test_without_its_database_the_server_refuses_quickly_and_comes_back_by_itself(one: Cluster) -> None:
    server, path = one.nodes[0], f"/projects/{PLAIN}/run/start"
    body = {"api": "work", "parameters": script()}
    assert server.post(path, body).status_code == 201
    one.postgres.kill()
    try:
        for _ in range(3):
            began = time.monotonic()
            response = server.post(path, body)
            assert response.status_code == 503 and int(response.headers["retry-after"]) >= 1
            assert time.monotonic() - began <= MAX_REFUSAL_SECONDS + SLACK_SECONDS
        base = server.url
        assert httpx.get(f"{base}/health/live", timeout=10).status_code == 200
        assert httpx.get(f"{base}/health/ready", timeout=10).status_code == 503
    finally:
        one.postgres.start()
    one.wait_until_ready(0)
    assert server.run(PLAIN, "work", parameters=script())["status"] == "completed"


@pytest.mark.parametrize("how", ["hold", "swallow"])
def test_a_database_that_says_nothing_is_as_good_as_none(one: Cluster, how: str) -> None:
    server, wire = one.nodes[0], one.wires[0]
    assert server.run(PLAIN, "work", parameters=script())["status"] == "completed"
    getattr(wire, how)()
    began = time.monotonic()
    try:
        response = server.post(f"/projects/{PLAIN}/run/start", {"api": "work", "parameters": script()})
        assert response.status_code == 503
    except httpx.RemoteProtocolError:
        pass  # it had begun to commit and does not know: it cuts the connection and says nothing
    finally:
        took = time.monotonic() - began
        wire.heal()
    assert took <= MAX_REFUSAL_SECONDS + SLACK_SECONDS
    one.wait_until_ready(0)
    assert server.run(PLAIN, "work", parameters=script())["status"] == "completed"


def test_an_attempt_in_a_real_browser_survives_a_short_outage(tmp_path: Path, postgres: Postgres, site: Site) -> None:
    login = make_login(site)
    wire = FaultProxy(postgres.port)
    server = Server(tmp_path / "data", "--database-url", postgres.url(postgres.create_database(), wire.port))
    server.deploy("examples/shop-ts")
    site.control("hold", path="/login")
    try:
        operation = server.start_create("shop-ts", id="ada", parameters=login.parameters, createAttempts=1)
        site.wait_until_held("/login")
        wire.cut()
        response = server.post("/projects/shop-ts/auth-sessions/create", {"id": "bob", "parameters": login.parameters})
        assert response.status_code == 503
    finally:
        wire.heal()
        site.control("release", path="/login")
    answer = server.wait(f"/projects/shop-ts/auth-sessions/create/{operation}/result")
    assert answer == {"status": "done", "authSessionId": "ada"}
    assert site.seen(login.username)["loginsAttempted"] == 1
    assert server.stop() == 0
    wire.close()
