"""The published client, unchanged, sync and async, drives every operation of this version against the real server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from intuned_client import AsyncIntunedClient, IntunedClient
from intuned_client.exceptions import AuthenticationError, NotFoundError, ValidationError

from conftest import Login, make_login
from harness.contract import hold, hold_async
from harness.server import MAX_WAIT_SECONDS, UNFINISHED, Server
from harness.site import Site


def sync_client(server: Server, api_key: str | None = None) -> IntunedClient:
    return IntunedClient(
        workspace_id=server.workspace_id,
        api_key=api_key or server.api_key,
        base_url=server.base_url,
        client=httpx.Client(timeout=30, event_hooks={"response": [hold]}),
    )


def finished(ask: Any) -> Any:
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while (answer := ask()).status in UNFINISHED:
        assert time.monotonic() < deadline, answer
        time.sleep(0.02)
    return answer


@pytest.mark.parametrize("project", ["shop-ts", "shop-py"])
def test_every_operation_works_from_the_sync_client(server: Server, site: Site, project: str) -> None:
    login = make_login(site)
    session = f"sync-{login.username}"
    with sync_client(server) as client:
        sessions, runs = client.projects.auth_sessions, client.projects.runs

        started = sessions.create.start(project_name=project, body={"id": session, "parameters": login.parameters})
        assert started.status == "started"
        created = finished(lambda: sessions.create.result(project_name=project, operation_id=started.operation_id))
        assert (created.status, created.auth_session_id) == ("done", session)

        shown = sessions.get(project_name=project, auth_session_id=session)
        assert (shown.id, shown.type, shown.status) == (session, "CREDENTIALS", "READY")
        assert session in [item.id for item in _items(sessions.list(project_name=project))]

        checked = sessions.validate.start(project_name=project, auth_session_id=session, body={})
        assert checked.status == "pending"
        valid = finished(lambda: sessions.validate.result(
            project_name=project, auth_session_id=session, operation_id=checked.operation_id))
        assert (valid.status, valid.auth_session_id) == ("done", session)
        assert site.seen(login.username)["loginsSucceeded"] == 1

        renewed = sessions.update.start(project_name=project, auth_session_id=session, body={"parameters": login.parameters})
        assert renewed.status == "started"
        updated = finished(lambda: sessions.update.result(
            project_name=project, auth_session_id=session, operation_id=renewed.operation_id))
        assert updated.status == "done"
        assert site.seen(login.username)["loginsSucceeded"] == 2

        run = runs.start(project_name=project, body={
            "api": "orders", "parameters": {"baseUrl": site.url, "limit": 3}, "authSession": {"id": session}})
        assert run.status == "pending"
        result = finished(lambda: runs.result(project_name=project, run_id=run.run_id))
        assert result.status == "completed"
        assert result.result["count"] == 3

        sessions.delete(project_name=project, auth_session_id=session)
        with pytest.raises(NotFoundError):
            sessions.get(project_name=project, auth_session_id=session)


def test_every_operation_works_from_the_async_client(server: Server, site: Site) -> None:
    login = make_login(site)
    session = f"async-{login.username}"

    async def finished_async(ask: Any) -> Any:
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while (answer := await ask()).status in UNFINISHED:
            assert time.monotonic() < deadline, answer
            await asyncio.sleep(0.02)
        return answer

    async def drive() -> None:
        http = httpx.AsyncClient(timeout=30, event_hooks={"response": [hold_async]})
        client = AsyncIntunedClient(
            workspace_id=server.workspace_id, api_key=server.api_key, base_url=server.base_url, client=http)
        sessions, runs = client.projects.auth_sessions, client.projects.runs
        project = "shop-ts"
        started = await sessions.create.start(project_name=project, body={"id": session, "parameters": login.parameters})
        created = await finished_async(lambda: sessions.create.result(project_name=project, operation_id=started.operation_id))
        assert (created.status, created.auth_session_id) == ("done", session)
        assert (await sessions.get(project_name=project, auth_session_id=session)).status == "READY"
        assert session in [item.id for item in _items(await sessions.list(project_name=project))]
        checked = await sessions.validate.start(project_name=project, auth_session_id=session, body={})
        assert (await finished_async(lambda: sessions.validate.result(
            project_name=project, auth_session_id=session, operation_id=checked.operation_id))).status == "done"
        renewed = await sessions.update.start(
            project_name=project, auth_session_id=session, body={"parameters": login.parameters})
        assert (await finished_async(lambda: sessions.update.result(
            project_name=project, auth_session_id=session, operation_id=renewed.operation_id))).status == "done"
        run = await runs.start(project_name=project, body={
            "api": "orders", "parameters": {"baseUrl": site.url, "limit": 2}, "authSession": {"id": session}})
        result = await finished_async(lambda: runs.result(project_name=project, run_id=run.run_id))
        assert (result.status, result.result["count"]) == ("completed", 2)
        await sessions.delete(project_name=project, auth_session_id=session)
        with pytest.raises(NotFoundError):
            await sessions.get(project_name=project, auth_session_id=session)
        await http.aclose()

    asyncio.run(drive())


def test_the_client_understands_every_refusal(server: Server, login: Login) -> None:
    with sync_client(server, api_key="kw_not-a-key") as client, pytest.raises(AuthenticationError) as refused:
        client.projects.auth_sessions.list(project_name="shop-ts")
    assert refused.value.body["code"] == "unauthorized"
    with sync_client(server) as client:
        with pytest.raises(NotFoundError) as missing:
            client.projects.auth_sessions.list(project_name="no-such-project")
        assert missing.value.body["code"] == "not-found"
        with pytest.raises(ValidationError) as wrong:
            client.projects.auth_sessions.create.start(
                project_name="shop-ts", body={"id": "a b", "parameters": login.parameters})
        assert wrong.value.body["code"] == "bad-request"


def test_a_failed_and_a_canceled_end_are_read_by_the_client(server: Server, site: Site) -> None:
    login = make_login(site, create="throws")
    with sync_client(server) as client:
        sessions, runs = client.projects.auth_sessions, client.projects.runs
        started = sessions.create.start(project_name="login-lab-ts", body={
            "id": f"failed-{login.username}", "parameters": login.parameters, "createAttempts": 1})
        failed = finished(lambda: sessions.create.result(project_name="login-lab-ts", operation_id=started.operation_id))
        assert (failed.status, failed.error.code, failed.error.category) == ("failed", "create-attempts-failed", "auth")
        run = runs.start(project_name="login-lab-ts", body={
            "api": "whoami", "parameters": {},
            "authSession": {"id": f"failed-{login.username}", "createAttempts": 1, "checkAttempts": 1}})
        canceled = finished(lambda: runs.result(project_name="login-lab-ts", run_id=run.run_id))
        assert canceled.status == "canceled"
        assert canceled.reason.type == "auth-session-validate-dependency-failed"


def _items(listed: Any) -> list[Any]:
    return listed.root if hasattr(listed, "root") else list(listed)
