"""`kill -9` of the server at each named point of a login: the operation ends `done`, once, and no process is left.

The points are listed in `crates/engine/failpoints.txt`; one that is never reached fails its test, because the server then
does not die.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx
import pytest

from accept.a01_crash import crash
from accept.program import Report
from conftest import make_login
from harness.postgres import Postgres
from harness.processes import wait_until_none_mention
from harness.server import ROOT, Server
from harness.site import Site

POINTS = [line.split("#")[0].strip() for line in (ROOT / "crates/engine/failpoints.txt").read_text().splitlines()]
POINTS = [point for point in POINTS if point]
# Work that a killed server must not lose an attempt's budget over; far more than a crash can use up.
ATTEMPTS = {"createAttempts": 5, "checkAttempts": 5}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """One data folder with a deployed project, killed and started again by every test of this file."""
    server = Server(tmp_path_factory.mktemp("crash") / "data")
    server.deploy("examples/shop-ts")
    assert server.stop() == 0
    return server


@pytest.mark.parametrize("point", POINTS)
def test_a_login_survives_a_kill_at(deployed: Server, site: Site, point: str) -> None:
    server, login = deployed, make_login(site)
    session = f"crash-{login.username}"
    body = {"id": session, "parameters": login.parameters, "saveTrace": True, **ATTEMPTS}
    path = "/projects/shop-ts/auth-sessions/create"

    server.start(env={"KEYWRIGHT_FAILPOINT": point})
    operation = None
    try:
        response = server.post(path, body, **{"idempotency-key": session})
        operation = response.json()["operationId"]
    except httpx.TransportError:
        pass  # killed before it could answer: the request was accepted, and its key says which one it was
    assert _died(server), f"{point} was never reached"
    assert wait_until_none_mention(str(server.data_dir), 10) == [], "something outlived the server"

    server.start()
    try:
        again = server.post(path, body, **{"idempotency-key": session})
        assert again.status_code == 201
        assert operation in (None, again.json()["operationId"]), "the same request became two operations"
        result = server.wait(f"/projects/shop-ts/auth-sessions/create/{again.json()['operationId']}/result")
        assert result == {"status": "done", "authSessionId": session}
        assert server.session("shop-ts", session)["status"] == "READY"
        run = server.run("shop-ts", "orders", parameters={"baseUrl": site.url, "limit": 1}, authSession={"id": session})
        assert run["status"] == "completed", run
    finally:
        assert server.stop() == 0
    assert wait_until_none_mention(str(server.data_dir), 10) == []


def test_a_result_is_the_same_after_a_restart(tmp_path: Path, site: Site) -> None:
    login = make_login(site)
    server = Server(tmp_path / "data")
    server.deploy("examples/shop-ts")
    operation = server.start_create("shop-ts", id="ada", parameters=login.parameters)
    path = f"/projects/shop-ts/auth-sessions/create/{operation}/result"
    before = server.wait(path)
    server.kill()
    server.start()
    assert server.http.get(path).json() == before == {"status": "done", "authSessionId": "ada"}
    assert server.run("shop-ts", "orders", parameters={"limit": 1}, authSession={"id": "ada"})["status"] == "completed"
    assert site.seen(login.username)["loginsSucceeded"] == 1
    assert server.stop() == 0


def test_term_ends_everything_and_hands_work_back(tmp_path: Path, site: Site) -> None:
    login = make_login(site)
    server = Server(tmp_path / "data", "--shutdown-grace-s", "0")
    server.deploy("examples/shop-ts")
    site.control("hold", path="/login")
    try:
        operation = server.start_create("shop-ts", id="ada", parameters=login.parameters)
        site.wait_until_held("/login")
        assert server.stop() == 0
    finally:
        site.control("release", path="/login")
    assert wait_until_none_mention(str(tmp_path), 10) == []
    server.start()
    assert server.wait(f"/projects/shop-ts/auth-sessions/create/{operation}/result")["status"] == "done"
    assert server.stop() == 0


def _died(server: Server) -> bool:
    try:
        return server.process.wait(60) == -signal.SIGKILL
    except Exception:  # noqa: BLE001 - still alive: the point was not reached
        server.kill()
        return False


@pytest.mark.timeout(400)
@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_nothing_acknowledged_is_lost_by_kills_under_load(tmp_path: Path, request: pytest.FixtureRequest, backend: str) -> None:
    """The short form of acceptance A1."""
    report = Report("A1", "quick", 1)
    database = None
    if backend == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        database = server.url(server.create_database())
    crash(report, tmp_path, database, random_kills=4, kills_per_point=1)
    assert report.violations == []
