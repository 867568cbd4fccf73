"""The three roles, each in a process of its own, over one PostgreSQL and one bucket."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.bucket import Bucket
from harness.postgres import Postgres
from harness.server import Server
from harness.stub import PLAIN, StubServer, script

MAX_WAIT_SECONDS = 60


def wait_for(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def about(server: Server) -> dict[str, Any]:
    report = httpx.get(f"{server.url}/health", timeout=10)
    assert report.status_code == 200, report.text
    return report.json()["server"]


def test_each_role_does_its_own_part_and_no_other(tmp_path: Path, postgres: Postgres) -> None:
    bucket = Bucket()
    shared = ["--database-url", postgres.url(postgres.create_database()), "--master-key-file", str(tmp_path / "master.key"),
              *bucket.options("prefix")]
    # Neither the API nor the scheduler looks for a browser.
    nothing = {**bucket.environment, "KEYWRIGHT_HEADLESS_SHELL_PATH": "/nowhere"}
    api = StubServer(tmp_path / "api", tmp_path / "no-journal", *shared, "--roles", "api", env=nothing)
    assert api.api_key.startswith("kw_"), "the API makes the first key"
    journal = tmp_path / "journal"
    scheduler = StubServer(tmp_path / "scheduler", journal, *shared, "--roles", "scheduler", env=nothing)
    worker = StubServer(tmp_path / "worker", journal, *shared, "--roles", "worker", "--worker-label", "eu,gpu",
                        "--node-name", "strong-arm", env=bucket.environment)
    assert scheduler.workspace_id == worker.workspace_id == ""
    api.deploy_stubs()
    run = api.start_run(PLAIN, "work", parameters=script())
    assert api.run_result(PLAIN, run)["status"] == "completed"

    seen = about(worker)
    assert (seen["roles"], seen["node"]["name"], seen["labels"]) == (["worker"], "strong-arm", ["eu", "gpu"])
    assert [attempt["workerId"] for attempt in api.attempts(PLAIN, run)] == [seen["worker"]["id"]]
    assert seen["worker"]["places"] > 0 and not seen["worker"]["isScheduler"]
    wait_for(lambda: about(scheduler)["worker"]["isScheduler"])
    assert about(scheduler)["worker"]["places"] == 0
    assert "worker" not in about(api) and about(api)["liveWorkers"] == 2
    assert not (tmp_path / "no-journal").exists() or (tmp_path / "no-journal").read_text() == ""

    for node in (scheduler, worker):
        assert httpx.get(f"{node.url}/health/ready").json() == {"status": "ok"}
        for path in ("/openapi.json", "/docs/", f"/api/v1/workspace/{api.workspace_id}/projects"):
            assert httpx.get(f"{node.url}{path}", headers={"x-api-key": api.api_key}).status_code == 404
    events = api.http.get(f"/projects/{PLAIN}/run/{run}/events").json()["events"]
    assert [event["kind"] for event in events] == ["accepted", "claimed", "moved", "attempt-begun", "attempt-ended", "moved"]

    # Without a worker the API accepts what the next one does.
    assert worker.stop() == 0
    waiting = api.start_run(PLAIN, "work", parameters=script())
    assert api.http.get(f"/projects/{PLAIN}/run/{waiting}/result").json()["status"] == "pending"
    worker.start()
    assert api.run_result(PLAIN, waiting)["status"] == "completed"
    assert [node.stop() for node in (api, scheduler, worker)] == [0, 0, 0]
    bucket.stop()


def test_a_second_api_makes_no_second_key(tmp_path: Path, postgres: Postgres) -> None:
    shared = ["--database-url", postgres.url(postgres.create_database()), "--master-key-file", str(tmp_path / "master.key"),
              "--blobs", str(tmp_path / "blobs"), "--roles", "api"]
    first = StubServer(tmp_path / "first", tmp_path / "journal", *shared)
    second = StubServer(tmp_path / "second", tmp_path / "journal", *shared)
    assert first.api_key.startswith("kw_") and second.api_key == ""
    assert second.workspace_id == first.workspace_id
    assert second.client(first.api_key).get("/projects").json() == {"projects": []}
    assert "other nodes of this database" in first.log_path.read_text(), "a folder is warned about"
    assert [first.stop(), second.stop()] == [0, 0]


@pytest.mark.parametrize("secret", ["hunter22"])
def test_a_database_that_is_not_there_is_told_without_its_password(tmp_path: Path, secret: str) -> None:
    from test_serve import serve

    refused = serve(tmp_path / "data", "--listen", "127.0.0.1:0", "--roles", "api",
                    "--database-url", f"postgres://nobody:{secret}@127.0.0.1:9/nothing")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "the database cannot be opened" in refused.stderr and secret not in refused.stderr
