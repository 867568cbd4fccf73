"""Each row of a login's life: what the caller is told, what the session is afterwards, and what the *site* saw."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from conftest import Login, make_login
from harness.server import Server
from harness.site import Site

LAB = "login-lab-ts"
ONCE = {"createAttempts": 1, "checkAttempts": 1}


def session_of(login: Login) -> str:
    return f"session-{login.username}"


def made(server: Server, login: Login, **body: Any) -> str:
    """A session that is READY."""
    result = server.create(LAB, id=session_of(login), parameters=login.parameters, **body)
    assert result == {"status": "done", "authSessionId": session_of(login)}
    return session_of(login)


def hits(site: Site, login: Login, part: str) -> int:
    """How often `create`, `check` or an API of the lab ran for this user: each pings the site first."""
    return site.state()["hits"].get(f"/ping/{login.username}/{part}", 0)


def error_of(result: dict[str, Any]) -> tuple[str, str, bool]:
    assert result["status"] == "failed", result
    error = result["error"]
    return error["code"], error["category"], error["retirable"]


def cause_of(result: dict[str, Any]) -> str:
    assert result["status"] == "canceled", result
    assert "error" not in result and "result" not in result, result
    assert result["reason"]["type"] == "auth-session-validate-dependency-failed", result
    return result["reason"]["details"]["cause"]


def test_a_login_is_checked_before_it_is_ready(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    assert server.session(LAB, session) == {"id": session, "type": "CREDENTIALS", "status": "READY"}
    assert (hits(site, login, "create"), hits(site, login, "check")) == (1, 1)
    assert site.seen(login.username)["loginsSucceeded"] == 1


def test_a_create_without_an_id_gets_one(server: Server, login: Login) -> None:
    result = server.create(LAB, parameters=login.parameters)
    assert result["status"] == "done"
    assert result["authSessionId"].startswith("auth-session-")


def test_a_wrong_password_uses_up_every_attempt(server: Server, site: Site) -> None:
    login = make_login(site, create="wrong-password")
    result = server.create(LAB, id=session_of(login), parameters=login.parameters, createAttempts=2)
    assert error_of(result) == ("create-attempts-failed", "auth", False)
    details = result["error"]["details"]
    assert details["attempts_count"] == 2
    assert (details["last_error"]["code"], details["last_error"]["category"]) == ("script-execution-exception", "execution")
    assert site.seen(login.username)["loginsAttempted"] == 2
    assert site.seen(login.username)["loginsSucceeded"] == 0
    assert server.session(LAB, session_of(login))["status"] == "EXPIRED"


def test_a_flaky_site_is_tried_again(server: Server, site: Site, login: Login) -> None:
    site.control("login-faults", next=1, username=login.username)
    made(server, login, createAttempts=3)
    seen = site.seen(login.username)
    assert (seen["loginsFaulted"], seen["loginsSucceeded"]) == (1, 1)


@pytest.mark.parametrize("behaviour", ["throws", "exits", "non-retryable", "logs-in-then-throws"])
def test_a_create_that_fails_in_any_way_is_a_failed_login(server: Server, site: Site, behaviour: str) -> None:
    login = make_login(site, create=behaviour)
    result = server.create(LAB, id=session_of(login), parameters=login.parameters, createAttempts=2, checkAttempts=1)
    assert error_of(result) == ("create-attempts-failed", "auth", False)
    tried = 1 if behaviour == "non-retryable" else 2
    assert (result["error"]["details"]["attempts_count"], hits(site, login, "create")) == (tried, tried)
    expected = "script-process-crashed" if behaviour == "exits" else "script-execution-exception"
    assert result["error"]["details"]["last_error"]["code"] == expected
    assert hits(site, login, "check") == 0


def test_a_create_that_hangs_times_out(server: Server, site: Site) -> None:
    login = make_login(site, create="hangs")
    result = server.create(LAB, id=session_of(login), parameters=login.parameters, createAttempts=1, requestTimeout=2)
    assert error_of(result) == ("create-attempts-failed", "auth", False)
    assert result["error"]["details"]["last_error"]["code"] == "script-timeout"


@pytest.mark.parametrize("behaviour", ["false", "throws", "text", "one", "object", "nothing", "exits"])
def test_only_true_passes_a_check(server: Server, site: Site, behaviour: str) -> None:
    login = make_login(site, check=behaviour)
    result = server.create(LAB, id=session_of(login), parameters=login.parameters, createAttempts=2, checkAttempts=2)
    assert error_of(result) == ("post-create-check-attempts-failed", "auth", False)
    assert result["error"]["details"]["attempts_count"] == 2
    # A process that ends itself has not even failed its check.
    expected = "script-process-crashed" if behaviour == "exits" else "auth-check-failed"
    assert result["error"]["details"]["last_error"]["code"] == expected
    assert (hits(site, login, "create"), hits(site, login, "check")) == (1, 2)
    assert server.session(LAB, session_of(login))["status"] == "EXPIRED"


def test_a_create_that_did_not_log_in_is_found_out_by_the_check(server: Server, site: Site) -> None:
    login = make_login(site, create="no-login")
    result = server.create(LAB, id=session_of(login), parameters=login.parameters, **ONCE)
    assert error_of(result) == ("post-create-check-attempts-failed", "auth", False)
    assert site.seen(login.username)["loginsAttempted"] == 0


def test_a_valid_session_is_checked_and_not_logged_in_again(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    assert server.validate(LAB, session) == {"status": "done", "authSessionId": session}
    assert site.seen(login.username)["loginsSucceeded"] == 1
    assert hits(site, login, "check") == 2


def test_an_expired_session_heals_when_it_may(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    site.control("expire", username=login.username)
    assert server.validate(LAB, session, checkAttempts=2) == {"status": "done", "authSessionId": session}
    assert site.seen(login.username)["loginsSucceeded"] == 2
    # One check after the first login, two that failed, one after the second login.
    assert (hits(site, login, "check"), hits(site, login, "create")) == (4, 2)
    assert server.session(LAB, session)["status"] == "READY"


def test_an_expired_session_stays_expired_when_it_may_not_heal(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    site.control("expire", username=login.username)
    result = server.validate(LAB, session, autoRecreate=False, checkAttempts=1)
    assert error_of(result) == ("check-attempts-failed", "auth", False)
    assert site.seen(login.username)["loginsSucceeded"] == 1
    assert server.session(LAB, session)["status"] == "EXPIRED"
    # An update heals it.
    assert server.update(LAB, session, parameters=login.parameters)["status"] == "done"
    assert server.session(LAB, session)["status"] == "READY"


@pytest.mark.parametrize(
    ("then", "code", "logins"),
    [
        ({"check": ["ok", "false"], "create": ["ok", "throws"]}, "create-attempts-failed", 1),
        ({"check": ["ok", "false"]}, "post-create-check-attempts-failed", 2),
    ],
)
def test_a_validate_whose_new_login_fails_expires_the_session(
    server: Server, site: Site, then: dict[str, list[str]], code: str, logins: int
) -> None:
    login = make_login(site, **then)
    session = made(server, login)
    result = server.validate(LAB, session, **ONCE)
    assert error_of(result) == (code, "auth", False)
    assert result["error"]["details"]["attempts_count"] == 1
    assert server.session(LAB, session)["status"] == "EXPIRED"
    assert (site.seen(login.username)["loginsSucceeded"], hits(site, login, "create")) == (logins, 2)


def test_a_failed_update_leaves_the_session_as_it_was(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    bad = {**login.parameters, "create": "throws"}
    assert error_of(server.update(LAB, session, parameters=bad, createAttempts=1))[0] == "create-attempts-failed"
    assert server.session(LAB, session)["status"] == "READY"
    assert server.run(LAB, "whoami", authSession={"id": session})["status"] == "completed"
    assert site.seen(login.username)["loginsSucceeded"] == 1


def test_a_create_over_an_existing_id_replaces_it(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    other = make_login(site)
    assert server.create(LAB, id=session, parameters=other.parameters)["status"] == "done"
    result = server.run(LAB, "whoami", authSession={"id": session})
    assert result["result"]["status"] == f"Welcome, {other.username.title()}"


def test_a_run_checks_first_and_then_works_with_the_login(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    result = server.run(LAB, "whoami", authSession={"id": session})
    assert result["status"] == "completed"
    assert result["result"] == {"status": f"Welcome, {login.username.title()}"}
    assert (hits(site, login, "check"), hits(site, login, "api")) == (2, 1)
    stages = [attempt["stage"] for attempt in server.attempts(LAB, result["runId"])]
    assert stages == ["check", "api"]


def test_a_run_heals_a_dead_login(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    site.control("expire", username=login.username)
    result = server.run(LAB, "whoami", authSession={"id": session, "checkAttempts": 1})
    assert result["status"] == "completed"
    assert site.seen(login.username)["loginsSucceeded"] == 2
    assert [attempt["stage"] for attempt in server.attempts(LAB, result["runId"])] == ["check", "create", "post-check", "api"]


def test_a_run_without_a_login_is_canceled_and_its_code_never_starts(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    site.control("expire", username=login.username)
    result = server.run(LAB, "whoami", authSession={"id": session, "autoRecreate": False, "checkAttempts": 2})
    assert cause_of(result) == "check-attempts-failed"
    assert hits(site, login, "api") == 0
    assert server.session(LAB, session)["status"] == "EXPIRED"


def test_a_run_whose_healing_fails_is_canceled_and_the_session_expires(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    site.control("expire", username=login.username)
    site.add_user(login.username, "changed-since")
    result = server.run(LAB, "whoami", authSession={"id": session, **ONCE})
    assert cause_of(result) == "create-attempts-failed"
    assert hits(site, login, "api") == 0
    assert server.session(LAB, session)["status"] == "EXPIRED"


def test_two_runs_at_once_with_a_dead_login_make_exactly_one_login(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    site.control("expire", username=login.username)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: server.run(LAB, "whoami", authSession={"id": session, "checkAttempts": 1}), range(2)))
    assert [result["status"] for result in results] == ["completed", "completed"]
    assert site.seen(login.username)["loginsSucceeded"] == 2
    assert hits(site, login, "api") == 2


def test_two_creates_at_once_of_one_session_follow_each_other(server: Server, site: Site, login: Login) -> None:
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(
            lambda _: server.create(LAB, id=session_of(login), parameters=login.parameters), range(2)))
    assert [result["status"] for result in results] == ["done", "done"]
    assert site.seen(login.username)["loginsSucceeded"] == 2


def test_unknown_sessions_are_not_found(server: Server) -> None:
    base = f"/projects/{LAB}/auth-sessions/no-such-session"
    for response in (
        server.http.get(base),
        server.http.delete(base),
        server.post(f"{base}/update", {"parameters": {}}),
        server.post(f"{base}/validate/start"),
        server.post(f"/projects/{LAB}/run/start", {"api": "whoami", "parameters": {}, "authSession": {"id": "no-such-session"}}),
    ):
        assert (response.status_code, response.json()["code"], response.json()["category"]) == (404, "not-found", "user")


def test_a_session_deleted_after_acceptance_cancels_the_run(server: Server, site: Site, login: Login) -> None:
    session = made(server, login)
    path = f"/ping/{login.username}/check"
    # The first run is held in its check, so the second waits for the session; then the session goes away.
    site.control("hold", path=path)
    try:
        first = server.start_run(LAB, "whoami", authSession={"id": session, "checkAttempts": 1})
        second = server.start_run(LAB, "whoami", authSession={"id": session, "checkAttempts": 1})
        assert server.http.delete(f"/projects/{LAB}/auth-sessions/{session}").status_code == 204
    finally:
        site.control("release", path=path)
    assert cause_of(server.run_result(LAB, second)) == "auth-session-not-found"
    assert server.run_result(LAB, first)["status"] in ("canceled", "completed")
    assert server.http.get(f"/projects/{LAB}/auth-sessions/{session}").status_code == 404


def test_a_dead_proxy_fails_the_login_and_the_site_is_never_contacted_directly(server: Server, site: Site, login: Login) -> None:
    result = server.create(
        LAB, id=session_of(login), parameters=login.parameters, proxy="http://user:secret-proxy-pass@127.0.0.1:9", createAttempts=1)
    assert error_of(result)[0] == "create-attempts-failed"
    assert "secret-proxy-pass" not in str(result)
    assert hits(site, login, "create") == 0
    assert site.seen(login.username)["direct"] == 0


def test_the_sessions_proxy_carries_create_check_and_runs(server: Server, site: Site, login: Login) -> None:
    session = made(server, login, proxy=site.proxy_url)
    assert server.run(LAB, "whoami", authSession={"id": session})["status"] == "completed"
    # A run's own proxy must not replace the session's.
    run = server.run(LAB, "whoami", authSession={"id": session}, proxy="http://127.0.0.1:9")
    assert run["status"] == "completed"
    seen = site.seen(login.username)
    assert (seen["direct"], seen["proxied"] > 0) == (0, True)


def test_a_runtime_login_works_and_its_input_is_not_to_be_had(server: Server, site: Site, login: Login) -> None:
    body = {"runtimeInput": login.parameters, "id": f"runtime-{login.username}"}
    result = server.run(LAB, "whoami", authSession=body)
    assert result["status"] == "completed", result
    assert server.session(LAB, body["id"])["type"] == "RUNTIME"
    again = server.run(LAB, "session-parameters", authSession=body)
    assert again["status"] == "completed"
    assert "error" in again["result"]
    assert site.seen(login.username)["loginsSucceeded"] == 1


def test_a_runtime_login_without_an_id_leaves_no_session(server: Server, login: Login) -> None:
    before = server.http.get(f"/projects/{LAB}/auth-sessions").json()
    result = server.run(LAB, "whoami", authSession={"runtimeInput": login.parameters})
    assert result["status"] == "completed"
    assert server.http.get(f"/projects/{LAB}/auth-sessions").json() == before


def test_a_runtime_login_that_died_is_not_made_again_without_its_input(server: Server, site: Site, login: Login) -> None:
    session = f"runtime-dead-{login.username}"
    first = {"runtimeInput": login.parameters, "id": session, "autoRecreate": False}
    assert server.run(LAB, "whoami", authSession=first)["status"] == "completed"
    assert server.run(LAB, "whoami", authSession={"id": session})["status"] == "completed", "it is kept under its name"
    assert site.seen(login.username)["loginsSucceeded"] == 1
    site.control("expire", username=login.username)
    dead = server.run(LAB, "whoami", authSession={"id": session, "checkAttempts": 1})
    assert cause_of(dead) == "check-attempts-failed"
    assert server.session(LAB, session)["status"] == "EXPIRED"
    assert site.seen(login.username)["loginsSucceeded"] == 1
    # Its input brings it back.
    assert server.run(LAB, "whoami", authSession={**first, "checkAttempts": 1})["status"] == "completed"
    assert server.session(LAB, session) == {"id": session, "type": "RUNTIME", "status": "READY"}
    for refused in (
        server.post(f"/projects/{LAB}/auth-sessions/{session}/update", {"parameters": login.parameters}),
        server.post(f"/projects/{LAB}/auth-sessions/create", {"id": session, "parameters": login.parameters}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (400, "bad-request")


def test_both_spellings_of_a_name_are_one_session(server: Server, login: Login) -> None:
    session = f"a(b),{login.username}"
    assert server.create(LAB, id=session, parameters=login.parameters)["status"] == "done"
    encoded = session.replace("(", "%28").replace(")", "%29").replace(",", "%2C")
    for spelling in (session, encoded):
        assert server.session(LAB, spelling)["id"] == session
    assert server.validate(LAB, encoded) == {"status": "done", "authSessionId": session}
    assert server.http.delete(f"/projects/{LAB}/auth-sessions/{encoded}").status_code == 204
    assert server.http.get(f"/projects/{LAB}/auth-sessions/{session}").status_code == 404


def test_the_sessions_parameters_are_for_its_own_code(server: Server, login: Login) -> None:
    session = made(server, login)
    result = server.run(LAB, "session-parameters", authSession={"id": session})
    assert result["result"] == {
        "authSessionId": session, "username": login.username, "passwordLength": len(login.password)}


def test_two_factor_logins_work_in_both_languages(server: Server, site: Site) -> None:
    for project in ("shop-ts", "shop-py"):
        parameters = {"username": "alan", "password": "turing-1912", "totpSecret": "KEYWRIGHTDEMO234", "baseUrl": site.url}
        assert server.create(project, id="alan", parameters=parameters)["status"] == "done"
