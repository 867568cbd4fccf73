"""Runs: how user code can end, in both languages, and what the caller is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.processes import wait_until_none_mention
from harness.server import Server
from harness.site import Site

BOTH = pytest.mark.parametrize("project", ["unruly-ts", "unruly-py"])


def failure(result: dict[str, Any]) -> tuple[str, str, str, int]:
    assert result["status"] == "failed", result
    error = result["error"]
    assert (error["category"], error["retirable"]) == ("execution", False), result
    last = error["details"]["last_error"]
    return error["code"], last["code"], last["category"], error["details"]["attempts_count"]


def once(server: Server, project: str, api: str, **parameters: Any) -> dict[str, Any]:
    return server.run(project, api, parameters=parameters, retry={"maximumAttempts": 1})


@BOTH
def test_every_json_value_comes_back(server: Server, project: str) -> None:
    for value in (None, True, 0, -1.5, "ä😀\u2028", [], {"deep": [{"er": None}]}, "x" * 100_000):
        result = server.run(project, "echo", parameters={"value": value})
        assert result["status"] == "completed", result
        assert result.get("result") == value


@BOTH
def test_nested_and_dashed_names_are_apis(server: Server, project: str) -> None:
    assert server.run(project, "nested/deep-er/dashed-name")["status"] == "completed"


@BOTH
@pytest.mark.parametrize(
    ("api", "parameters", "cause", "category"),
    [
        ("throws", {}, "script-execution-exception", "execution"),
        ("exits", {}, "script-process-crashed", "infrastructure"),
        ("killed", {}, "script-process-crashed", "infrastructure"),
        ("big-result", {}, "result-too-big-error", "execution"),
        ("bad-result", {"kind": "nan"}, "script-no-valid-output-received", "execution"),
        ("bad-result", {"kind": "infinity"}, "script-no-valid-output-received", "execution"),
        ("bad-result", {"kind": "surrogate"}, "script-no-valid-output-received", "execution"),
        ("bad-key", {}, "script-execution-exception", "execution"),
        ("closes-browser", {}, "script-execution-exception", "execution"),
    ],
)
def test_user_code_that_fails_is_told_apart(
    server: Server, project: str, api: str, parameters: dict[str, Any], cause: str, category: str
) -> None:
    assert failure(once(server, project, api, **parameters)) == ("api-attempts-failed", cause, category, 1)


@BOTH
@pytest.mark.parametrize("api", ["hangs", "sync-loop"])
def test_user_code_that_hangs_is_killed(server: Server, project: str, api: str) -> None:
    result = server.run(project, api, requestTimeout=2, retry={"maximumAttempts": 1})
    assert failure(result) == ("api-attempts-failed", "script-timeout", "execution", 1)


@BOTH
def test_attempts_are_a_total(server: Server, project: str) -> None:
    result = server.run(project, "throws", retry={"maximumAttempts": 3})
    assert failure(result)[3] == 3
    assert [attempt["number"] for attempt in server.attempts(project, result["runId"])] == [1, 2, 3]


@BOTH
def test_a_later_attempt_can_succeed(server: Server, project: str) -> None:
    parameters = {"key": f"flaky-{project}", "succeedsAt": 2}
    result = server.run(project, "flaky", parameters=parameters, retry={"maximumAttempts": 3})
    assert result["result"] == {"attempt": 2}
    assert [attempt["status"] for attempt in server.attempts(project, result["runId"])] == ["failed", "succeeded"]


@BOTH
def test_what_must_not_be_tried_again_is_not(server: Server, project: str) -> None:
    assert failure(server.run(project, "non-retryable", retry={"maximumAttempts": 3}))[3] == 1


@BOTH
def test_asking_for_more_time_resets_the_timeout(server: Server, project: str) -> None:
    result = server.run(project, "extends-timeout", parameters={"seconds": 5}, requestTimeout=3, retry={"maximumAttempts": 1})
    assert result["result"] == "in time"


@BOTH
def test_extended_payloads_are_reported_on_success_only(server: Server, project: str) -> None:
    result = server.run(project, "extends-payload")
    assert [payload["api"] for payload in result["extendedPayloads"]] == ["echo", "nested/deep-er/dashed-name", "echo"]
    failed = once(server, project, "extends-payload", fails=True)
    assert "extendedPayloads" not in failed


@BOTH
def test_nothing_of_an_attempt_reaches_the_next(server: Server, site: Site, project: str) -> None:
    first = server.run(project, "leftovers", parameters={"visit": f"{site.url}/login"})
    second = server.run(project, "leftovers", parameters={"visit": f"{site.url}/login"})
    assert first["status"] == second["status"] == "completed"
    assert (second["result"]["cookies"], second["result"]["stored"]) == (0, 0)
    assert second["result"]["pages"] == 1


@BOTH
def test_what_user_code_leaves_behind_is_gone(server: Server, project: str) -> None:
    mark = f"keywright-left-behind-{project}"
    assert server.run(project, "leaks", parameters={"mark": mark})["status"] == "completed"
    # The child outlives its attempt only as long as its slot; closing the slot's namespace ends it.
    assert wait_until_none_mention(mark, 10) == []


@BOTH
def test_what_is_printed_is_the_attempts_log(server: Server, project: str) -> None:
    result = server.run(project, "prints-kinds")
    lines = server.log(project, result["runId"], 1)
    assert lines and all({"timestamp", "level", "stream", "message"} <= set(line) for line in lines)


def test_what_a_page_sees_is_an_ordinary_browser(server: Server, site: Site) -> None:
    seen = server.run("unruly-ts", "what-the-page-sees", parameters={"visit": f"{site.url}/login"})["result"]
    assert "Headless" not in str(seen)
    assert seen["webdriver"] is False


@BOTH
def test_user_code_is_told_about_its_run(server: Server, project: str) -> None:
    result = server.run(project, "context-info")
    told = {key.lower().replace("_", ""): value for key, value in result["result"].items()}
    assert told["runid"] == result["runId"]
    assert told["jobid"] is None and told["jobrunid"] is None


@BOTH
def test_the_setup_hook_runs_first(server: Server, project: str) -> None:
    seen = {key.lower().replace("_", ""): value for key, value in server.run(project, "hook-seen", parameters={"a": 1})["result"].items()}
    assert seen["cdpurl"].startswith("ws://127.0.0.1:")
    assert seen["apiname"] == "api/hook-seen"
    assert seen["apiparameters"] == {"a": 1}


def test_a_canceled_run_is_dead_and_stays_canceled(server: Server) -> None:
    run = server.start_run("unruly-ts", "hangs")
    wait_for_status(server, "unruly-ts", run, "started")
    response = server.http.post(f"/projects/unruly-ts/run/{run}/cancel")
    assert response.status_code == 200, response.text
    result = server.run_result("unruly-ts", run)
    assert (result["status"], result["reason"]["type"]) == ("canceled", "cancelled-user-action")
    assert server.http.post(f"/projects/unruly-ts/run/{run}/cancel").status_code == 200
    assert server.run_result("unruly-ts", run) == result


def test_a_run_that_was_canceled_while_it_waited_never_starts(server: Server, site: Site, tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "Intuned.json").write_text('{"projectName": "one-by-one", "replication": {"maxConcurrentRequests": 1}}')
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "api/visit.ts").write_text(
        "export default async (params: { visit: string }, page: any) => { await page.goto(params.visit, { timeout: 0 }); };\n")
    server.cli("deploy", str(tmp_path))
    held, waiting = "/ping/one-by-one/held", "/ping/one-by-one/waiting"
    site.control("hold", path=held)
    try:
        first = server.start_run("one-by-one", "visit", parameters={"visit": site.url + held})
        wait_for_status(server, "one-by-one", first, "started")
        second = server.start_run("one-by-one", "visit", parameters={"visit": site.url + waiting})
        canceled = server.http.post(f"/projects/one-by-one/run/{second}/cancel")
        assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
        assert canceled.json()["reason"]["type"] == "cancelled-user-action"
    finally:
        site.control("release", path=held)
    finished = server.run_result("one-by-one", first)
    assert finished["status"] == "completed"
    # An ended run is left as it is.
    assert server.http.post(f"/projects/one-by-one/run/{first}/cancel").json() == finished
    assert server.attempts("one-by-one", second) == []
    assert site.state()["hits"].get(waiting, 0) == 0


def test_the_same_idempotency_key_is_the_same_run(server: Server) -> None:
    body = {"api": "echo", "parameters": {"value": 1}}
    path = "/projects/unruly-ts/run/start"
    first = server.post(path, body, **{"idempotency-key": "one-run"})
    second = server.post(path, body, **{"idempotency-key": "one-run"})
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["runId"] == second.json()["runId"]
    other = server.post(path, {**body, "parameters": {"value": 2}}, **{"idempotency-key": "one-run"})
    assert (other.status_code, other.json()["code"]) == (400, "bad-request")


def wait_for_status(server: Server, project: str, run: str, status: str) -> None:
    import time

    deadline = time.monotonic() + 60
    while server.http.get(f"/projects/{project}/run/{run}/result").json()["status"] != status:
        assert time.monotonic() < deadline
        time.sleep(0.02)


HOOKED = {
    "hooked-ts": {
        "package.json": "{}",
        "hooks/setupContext.ts": """import { attemptStore } from "@intuned/runtime";
export default async function setupContext({ apiName, apiParameters }: any) {
  attemptStore.set("told", `${apiName} ${JSON.stringify(apiParameters ?? null)}`);
}
""",
        "auth-sessions/create.ts": """import { attemptStore } from "@intuned/runtime";
export default async function create(...given: any[]) { console.log(`${attemptStore.get("told")} ${given.length}`); }
""",
        "auth-sessions/check.ts": """import { attemptStore } from "@intuned/runtime";
export default async function check(...given: any[]) { console.log(`${attemptStore.get("told")} ${given.length}`); return true; }
""",
        "api/any.ts": "export default async function any() {}\n",
    },
    "hooked-py": {
        "pyproject.toml": '[project]\nname = "hooked-py"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = []\n',
        "hooks/setup_context.py": """import json
from intuned_runtime import attempt_store

async def setup_context(*, cdp_url, api_name, api_parameters):
    attempt_store.set("told", f"{api_name} {json.dumps(api_parameters, separators=(',', ':'))}")
""",
        "auth-sessions/create.py": """from intuned_runtime import attempt_store

async def create(*given, **named):
    print(attempt_store.get("told"), len(given))
""",
        "auth-sessions/check.py": """from intuned_runtime import attempt_store

async def check(*given, **named):
    print(attempt_store.get("told"), len(given))
    return True
""",
        "api/any.py": "async def automation(page, params=None, **_):\n    return None\n",
    },
}


@pytest.mark.parametrize("project", list(HOOKED))
def test_the_hook_runs_before_create_and_check_too_and_a_check_gets_no_parameters(
    server: Server, tmp_path: Path, project: str
) -> None:
    settings = {"projectName": project, "authSessions": {"enabled": True, "type": "API"}}
    for name, text in {"Intuned.json": json.dumps(settings), **HOOKED[project]}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    server.cli("deploy", str(tmp_path))
    operation = server.start_create(project, id="hooked", parameters={"number": 7}, saveTrace=False)
    assert server.wait(f"/projects/{project}/auth-sessions/create/{operation}/result")["status"] == "done"
    run = server.http.get(f"/projects/{project}/operations/{operation}").json()["runId"]
    printed = [[line["message"] for line in server.log(project, run, number) if line["stream"] in ("stdout", "console")] for number in (1, 2)]
    # TypeScript is given (params, page, context) and (page, context); Python (page, params) and (page).
    given = (3, 2) if project == "hooked-ts" else (2, 1)
    assert printed == [[f'auth-sessions/create {{"number":7}} {given[0]}'], [f"auth-sessions/check null {given[1]}"]]
