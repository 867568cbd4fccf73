"""No secret of a login is found where it does not belong: answers, logs, errors, traces, the server's log, the raw files.

The canaries are the password, the proxy's password, and what the site itself says it handed out: cookie and tokens.
"""

from __future__ import annotations

import base64
import html
import io
import json
import urllib.parse
import zipfile
from pathlib import Path

import pytest

from conftest import make_login
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
    secrets = [login.password, *(value for entry in site.control("secrets", username=login.username)["sessions"] for value in entry.values())]
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
    result = server.run(LAB, "prints-password", parameters={"throws": True}, authSession={"id": session}, retry={"maximumAttempts": 1})
    assert result["status"] == "failed"
    assert found([login.password], json.dumps(result, ensure_ascii=False).encode()) == []
    last = server.attempts(LAB, result["runId"])[-1]
    log = server.http.get(f"/projects/{LAB}/run/{result['runId']}/attempts/{last['number']}/log").content
    assert b"plain" in log and b"***" in log
    assert found([login.password], log) == []


def test_answers_never_hold_what_was_put_in(server: Server, site: Site) -> None:
    login = make_login(site)
    session = f"answers-{login.username}"
    proxy = site.proxy_url.replace("http://", "http://proxy-user:proxy-pass-canary@")  # type: ignore[union-attr]
    assert server.create(LAB, id=session, parameters=login.parameters, proxy=proxy)["status"] == "done"
    for path in (f"/projects/{LAB}/auth-sessions/{session}", f"/projects/{LAB}/auth-sessions", "/projects", f"/projects/{LAB}/deployments"):
        answer = server.http.get(path).content
        assert found([login.password, "proxy-pass-canary"], answer) == []


def test_nothing_on_disk_holds_a_secret_in_the_clear(tmp_path: Path, site: Site) -> None:
    server = Server(tmp_path / "data")
    server.deploy("examples/fixtures/login-lab-ts")
    login = make_login(site)
    assert server.create(LAB, id="disk", parameters=login.parameters, saveTrace=True)["status"] == "done"
    assert server.run(LAB, "whoami", authSession={"id": "disk"})["status"] == "completed"
    secrets = [login.password, server.api_key]
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
    import time

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
