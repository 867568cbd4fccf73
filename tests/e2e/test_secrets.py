"""No secret of a login is found where it does not belong: answers, logs, errors, traces, the server's log, the raw files.

The canaries are the password, the proxy's password, and what the site itself says it handed out: cookie and tokens.
"""

from __future__ import annotations

import base64
import html
import io
import json
import textwrap
import time
import urllib.parse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Login, make_login
from harness.server import Server
from harness.site import Site

LAB = "login-lab-ts"
KINDS = ["/login", "/login/json", "/login/multipart", "/login/get", "/login/latin1", "/login/basic"]


def encodings(secret: str) -> set[bytes]:
    """The forms in which a secret would still be one."""
    raw = secret.encode()
    forms = {
        raw,
        json.dumps(secret)[1:-1].encode(),
        json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
        urllib.parse.quote(secret, safe="").encode(),
        urllib.parse.quote_plus(secret).encode(),
        html.escape(secret).encode(),
        raw.hex().encode(),
        base64.b64encode(raw).rstrip(b"="),
        base64.urlsafe_b64encode(raw).rstrip(b"="),
    }
    try:
        latin = secret.encode("latin-1")
        forms |= {latin, urllib.parse.quote_from_bytes(latin, safe="").encode()}
    except UnicodeEncodeError:
        pass
    return {form for form in forms if len(form) >= 6}


def found(secrets: list[str], data: bytes) -> list[str]:
    lowered = data.lower()
    return [secret for secret in secrets for form in encodings(secret) if form.lower() in lowered]


@pytest.mark.parametrize("kind", KINDS)
def test_a_login_leaves_no_secret_in_its_traces_and_logs(server: Server, site: Site, kind: str) -> None:
    login = make_login(site, loginPath=kind)
    operation = server.start_create(LAB, id=f"secret-{login.username}", parameters=login.parameters, saveTrace=True)
    result = server.wait(f"/projects/{LAB}/auth-sessions/create/{operation}/result")
    assert result["status"] == "done", result
    secrets = [
        login.password,
        *(value for entry in site.control("secrets", username=login.username)["sessions"] for value in entry.values()),
    ]
    assert len(secrets) >= 5

    run = server.http.get(f"/projects/{LAB}/operations/{operation}").json()["runId"]
    attempts = server.attempts(LAB, run)
    assert [attempt["stage"] for attempt in attempts] == ["create", "post-check"]
    assert found(secrets, json.dumps(attempts).encode()) == []
    for attempt in attempts:
        number = attempt["number"]
        log = server.http.get(f"/projects/{LAB}/run/{run}/attempts/{number}/log").content
        assert found(secrets, log) == []
        trace = stored_trace(server, LAB, run, number)
        with zipfile.ZipFile(io.BytesIO(trace)) as archive:
            names = archive.namelist()
            assert any(name.endswith(".trace") for name in names), names
            for name in names:
                assert found(secrets, archive.read(name)) == [], f"{name} of the {attempt['stage']} attempt"


def test_what_user_code_prints_and_throws_is_masked(server: Server, site: Site) -> None:
    login = make_login(site)
    session = f"prints-{login.username}"
    assert server.create(LAB, id=session, parameters=login.parameters)["status"] == "done"
    result = server.run(
        LAB, "prints-password", parameters={"throws": True}, authSession={"id": session}, retry={"maximumAttempts": 1}
    )
    assert result["status"] == "failed"
    assert found([login.password], json.dumps(result, ensure_ascii=False).encode()) == []
    last = server.attempts(LAB, result["runId"])[-1]
    log = server.http.get(f"/projects/{LAB}/run/{result['runId']}/attempts/{last['number']}/log").content
    assert b"plain" in log and b"***" in log
    assert found([login.password], log) == []


SELF_TALKING_TS = {
    "auth-sessions/create.ts": """
        import { persistentStore } from "@intuned/runtime";
        export default async function create(params: any, page: any) {
          await persistentStore.set("base", params.baseUrl);
          await page.goto(params.baseUrl + "/login");
          await page.fill("#username", params.username);
          await page.fill("#password", params.password);
          await page.click("#sign-in");
          await page.locator("#status[data-state=in]").waitFor();
          console.log("cookies", JSON.stringify(await page.context().cookies()));
          console.log("stores", await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])));
          await page.evaluate(() => console.log("page", localStorage.getItem("shop.token"), document.cookie));
          if (params.ends === "throws") throw new Error("after the login");
          if (params.ends === "exits") process.exit(7);
          if (params.ends === "hangs") await new Promise(() => setInterval(() => {}, 1000));
          if (params.ends === "crashes") await page.context().browser().close();
        }""",
    "auth-sessions/check.ts": """
        import { persistentStore } from "@intuned/runtime";
        export default async function check(page: any) {
          await page.goto((await persistentStore.get("base")) + "/account");
          await page.locator("#status[data-state=in], #status[data-state=out]").waitFor();
          console.log("cookies", JSON.stringify(await page.context().cookies()));
          return (await page.locator("#status").textContent()).startsWith("Welcome");
        }""",
    "api/who.ts": """
        import { persistentStore } from "@intuned/runtime";
        export default async function who(params: any, page: any) {
          await page.goto((await persistentStore.get("base")) + "/account");
          await page.locator("#status[data-state=in]").waitFor();
          console.log(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])));
          if (params.throws) throw new Error(JSON.stringify(await page.context().cookies()));
          return true;
        }""",
    "package.json": '{"name": "talks-ts", "version": "1.0.0", "private": true}',
}
SELF_TALKING_PY = {
    "auth-sessions/create.py": """
import asyncio, json, os
from intuned_runtime import persistent_store

async def create(page, params=None, **_kwargs):
    await persistent_store.set("base", params["baseUrl"])
    await page.goto(params["baseUrl"] + "/login")
    await page.fill("#username", params["username"])
    await page.fill("#password", params["password"])
    await page.click("#sign-in")
    await page.locator("#status[data-state=in]").wait_for()
    print("cookies", json.dumps(await page.context.cookies()))
    print("stores", await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])"))
    await page.evaluate("console.log('page', localStorage.getItem('shop.token'), document.cookie)")
    ends = params.get("ends")
    if ends == "throws":
        raise RuntimeError("after the login")
    if ends == "exits":
        os._exit(7)
    if ends == "hangs":
        await asyncio.sleep(3600)
    if ends == "crashes":
        await page.context.browser.close()
""",
    "auth-sessions/check.py": """
import json
from intuned_runtime import persistent_store

async def check(page, **_kwargs):
    await page.goto(await persistent_store.get("base") + "/account")
    await page.locator("#status[data-state=in], #status[data-state=out]").wait_for()
    print("cookies", json.dumps(await page.context.cookies()))
    return (await page.locator("#status").text_content()).startswith("Welcome")
""",
    "api/who.py": """
import json
from intuned_runtime import persistent_store

async def automation(page, params=None, **_kwargs):
    await page.goto(await persistent_store.get("base") + "/account")
    await page.locator("#status[data-state=in]").wait_for()
    print(await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])"))
    if params and params.get("throws"):
        raise RuntimeError(json.dumps(await page.context.cookies()))
    return True
""",
    "pyproject.toml": '[project]\nname = "talks-py"\nversion = "1.0.0"\nrequires-python = ">=3.10"\ndependencies = []\n',
}


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that logs everything it can, with projects whose login prints what it got, in both languages."""
    folder = tmp_path_factory.mktemp("talks")
    server = Server(folder / "data", "--log-filter", "trace", "--shutdown-grace-s", "0")
    for name, files in (("talks-ts", SELF_TALKING_TS), ("talks-py", SELF_TALKING_PY)):
        for file, text in files.items():
            path = folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        (folder / name / "Intuned.json").write_text(
            json.dumps({"projectName": name, "apiAccess": {"enabled": True}, "authSessions": {"enabled": True, "type": "API"}})
        )
        server.deploy(str(folder / name))
    yield server
    assert server.stop() == 0


def secrets_of(site: Site, login: Login) -> list[str]:
    """The password and everything the site handed out for it."""
    return [
        login.password,
        *(value for entry in site.control("secrets", username=login.username)["sessions"] for value in entry.values()),
    ]


def held_in(server: Server, project: str, run: str, secrets: list[str]) -> dict[str, list[str]]:
    """Which secrets are in what an ended run left: answers, logs, traces. Empty when there are none, as it should be."""
    held = {"attempts": found(secrets, server.http.get(f"/projects/{project}/run/{run}/attempts").content)}
    for attempt in server.attempts(project, run):
        name = f"{attempt['stage']} {attempt['number']}"
        log = server.http.get(f"/projects/{project}/run/{run}/attempts/{attempt['number']}/log").content
        held[f"log of {name}"] = found(secrets, log)
        if attempt["trace"]["status"] in ("pending", "stored"):
            with zipfile.ZipFile(io.BytesIO(stored_trace(server, project, run, attempt["number"]))) as archive:
                for entry in archive.namelist():
                    held[f"{entry} of {name}"] = found(secrets, archive.read(entry))
    return {place: secrets for place, secrets in held.items() if secrets}


@pytest.mark.parametrize("project", ["talks-ts", "talks-py"])
def test_what_a_login_got_is_in_no_log_and_no_trace_of_its_own_or_of_later_attempts(
    talking: Server, site: Site, project: str
) -> None:
    login = make_login(site)
    session = f"talks-{login.username}"
    operation = talking.start_create(project, id=session, parameters=login.parameters, saveTrace=True)
    result = talking.wait(f"/projects/{project}/auth-sessions/create/{operation}/result")
    assert result["status"] == "done", result
    secrets = secrets_of(site, login)
    assert len(secrets) >= 5
    run = talking.http.get(f"/projects/{project}/operations/{operation}").json()["runId"]
    first = talking.log(project, run, 1)
    assert any("cookies" in line["message"] and "***" in line["message"] for line in first), first
    assert any(line["stream"] == "page" and "***" in line["message"] for line in first), first
    assert held_in(talking, project, run, secrets) == {}
    for throws in (False, True):
        api = talking.run(
            project,
            "who",
            parameters={"throws": throws},
            authSession={"id": session},
            saveTrace=True,
            retry={"maximumAttempts": 1},
        )
        assert api["status"] == ("failed" if throws else "completed"), api
        assert found(secrets, json.dumps(api).encode()) == []
        stages = [attempt["stage"] for attempt in talking.attempts(project, api["runId"])]
        assert stages == ["check", "api"]
        assert held_in(talking, project, api["runId"], secrets) == {}
    for path in (
        f"/projects/{project}/auth-sessions/{session}",
        f"/projects/{project}/auth-sessions",
        f"/projects/{project}/operations/{operation}",
    ):
        assert found(secrets, talking.http.get(path).content) == []


@pytest.mark.parametrize("ends", ["throws", "exits", "hangs", "crashes"])
@pytest.mark.parametrize("project", ["talks-ts", "talks-py"])
def test_a_login_that_ends_badly_leaves_no_password_and_no_trace_with_what_it_got(
    talking: Server, site: Site, project: str, ends: str
) -> None:
    """What such a login printed of its new cookies cannot be known, but its trace is made of what is known to be harmless."""
    login = make_login(site, ends=ends)
    body = {
        "parameters": login.parameters,
        "saveTrace": True,
        "createAttempts": 1,
        "checkAttempts": 1,
        "requestTimeout": 15 if ends == "hangs" else 60,
    }
    operation = talking.start_create(project, id=f"ends-{login.username}", **body)
    result = talking.wait(f"/projects/{project}/auth-sessions/create/{operation}/result")
    assert result["status"] == "failed", result
    run = talking.http.get(f"/projects/{project}/operations/{operation}").json()["runId"]
    held = held_in(talking, project, run, secrets_of(site, login))
    assert {place: secrets for place, secrets in held.items() if not place.startswith("log of ")} == {}
    assert held_in(talking, project, run, [login.password]) == {}
    assert found(secrets_of(site, login), json.dumps(result).encode()) == []


@pytest.mark.parametrize("project", ["talks-ts", "talks-py"])
def test_a_login_that_is_canceled_leaves_no_password_and_no_trace_with_what_it_got(
    talking: Server, site: Site, project: str
) -> None:
    login = make_login(site, ends="hangs")
    operation = talking.start_create(project, id=f"cancel-{login.username}", parameters=login.parameters, saveTrace=True)
    run = talking.http.get(f"/projects/{project}/operations/{operation}").json()["runId"]
    deadline = time.monotonic() + 60
    while len(secrets_of(site, login)) < 5 or not site.seen(login.username)["checksPassed"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert talking.post(f"/projects/{project}/run/{run}/cancel").status_code == 200
    assert talking.wait(f"/projects/{project}/auth-sessions/create/{operation}/result")["status"] == "canceled"
    held = held_in(talking, project, run, secrets_of(site, login))
    assert {place: secrets for place, secrets in held.items() if not place.startswith("log of ")} == {}
    assert held_in(talking, project, run, [login.password]) == {}


def test_the_servers_own_log_at_its_loudest_holds_no_secret(talking: Server, site: Site) -> None:
    """Stands behind the others with this server, so that what they did is in the log too."""
    login = make_login(site)
    proxy = site.proxy_url.replace("http://", "http://proxy-user:proxy-pass-loud@")  # type: ignore[union-attr]
    for project in ("talks-ts", "talks-py"):
        operation = talking.start_create(project, id="loud", parameters=login.parameters, proxy=proxy, saveTrace=True)
        result = talking.wait(f"/projects/{project}/auth-sessions/create/{operation}/result")
        assert result["status"] == "done", result
        run = talking.http.get(f"/projects/{project}/operations/{operation}").json()["runId"]
        assert held_in(talking, project, run, ["proxy-pass-loud"]) == {}
    wrong = {"id": "no", "parameters": {"password": login.password}, "createAttempts": login.password}
    assert talking.post("/projects/talks-ts/auth-sessions/create", wrong).status_code == 400
    assert talking.client("kw_wrong-key-canary").get("/projects").status_code == 401
    made = talking.post("/keys", {"name": "loud"}).json()
    log = talking.log_path.read_bytes()
    assert b" DEBUG " in log, "nothing was said that a usual log does not say"
    secrets = [
        talking.api_key,
        made["key"],
        "kw_wrong-key-canary",
        "proxy-pass-loud",
        (talking.data_dir / "master.key").read_text().strip(),
    ]
    for user in site.state()["users"]:
        secrets += [value for entry in site.control("secrets", username=user)["sessions"] for value in entry.values()]
    assert len(secrets) >= 10
    assert found([*secrets, login.password], log) == []


def test_answers_never_hold_what_was_put_in(server: Server, site: Site) -> None:
    login = make_login(site)
    session = f"answers-{login.username}"
    proxy = site.proxy_url.replace("http://", "http://proxy-user:proxy-pass-canary@")  # type: ignore[union-attr]
    assert server.create(LAB, id=session, parameters=login.parameters, proxy=proxy)["status"] == "done"
    for path in (
        f"/projects/{LAB}/auth-sessions/{session}",
        f"/projects/{LAB}/auth-sessions",
        "/projects",
        f"/projects/{LAB}/deployments",
    ):
        answer = server.http.get(path).content
        assert found([login.password, "proxy-pass-canary"], answer) == []


def test_nothing_on_disk_holds_a_secret_in_the_clear(tmp_path: Path, site: Site) -> None:
    server = Server(tmp_path / "data")
    server.deploy("examples/fixtures/login-lab-ts")
    login = make_login(site)
    proxy = site.proxy_url.replace("http://", "http://proxy-user:proxy-pass-disk@")  # type: ignore[union-attr]
    assert server.create(LAB, id="disk", parameters=login.parameters, proxy=proxy, saveTrace=True)["status"] == "done"
    assert server.run(LAB, "whoami", authSession={"id": "disk"})["status"] == "completed"
    secrets = [login.password, "proxy-pass-disk", server.api_key]
    for entry in site.control("secrets", username=login.username)["sessions"]:
        secrets += entry.values()
    server.kill()  # the write-ahead log is then still there
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "runtime" not in path.parts]
    checked = [path for path in files if "slots" not in path.parts]
    assert any(path.name.endswith("-wal") for path in checked), files
    for path in checked:
        assert found(secrets, path.read_bytes()) == [], path
    # A browser's own folder may hold cookies while it runs; the next start wipes it.
    server.start()
    assert server.stop() == 0
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert found(secrets, path.read_bytes()) == [], path


def stored_trace(server: Server, project: str, run: str, number: int) -> bytes:
    """Waits until the trace is clean and stored; it is made off the answer's path."""
    deadline = time.monotonic() + 60
    while True:
        attempt = next(a for a in server.attempts(project, run) if a["number"] == number)
        assert attempt["trace"]["status"] in ("pending", "stored"), attempt
        if attempt["trace"]["status"] == "stored":
            response = server.http.get(f"/projects/{project}/run/{run}/attempts/{number}/trace")
            assert response.status_code == 200
            return response.content
        assert time.monotonic() < deadline
        time.sleep(0.05)
