"""Deployments: each broken project is refused for its own reason, with file and line; a good one replaces the old."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from harness.server import ROOT, Server

FIXTURES = ROOT / "examples/fixtures"


@pytest.mark.parametrize(
    ("fixture", "file", "line", "part"),
    [
        ("broken-no-api", "api", None, "no API"),
        ("broken-no-check", "auth-sessions/check.ts", None, "is missing"),
        ("broken-no-create", "auth-sessions/create.py", None, "is missing"),
        ("broken-no-language", "api", None, "language"),
        ("broken-py-import", "api/broken.py", 3, "no_such_module_anywhere"),
        ("broken-py-sync", "api/broken.py", 1, "async"),
        ("broken-py-syntax", "api/broken.py", 2, "syntax"),
        ("broken-settings-missing", "Intuned.json", None, "settings"),
        ("broken-settings-syntax", "Intuned.json", 4, "cannot be read"),
        ("broken-settings-types", "Intuned.json", 4, "authSessions.enabled"),
        ("broken-ts-import", "api/broken.ts", 1, "could not resolve"),
        ("broken-ts-load", "api/broken.ts", 2, "SyntaxError"),
        ("broken-ts-no-default", "api/broken.ts", None, "default"),
        ("broken-ts-syntax", "api/broken.ts", 3, "unexpected"),
    ],
)
def test_a_broken_project_is_refused_with_file_and_line(
    server: Server, fixture: str, file: str, line: int | None, part: str
) -> None:
    done = server.cli("deploy", str(FIXTURES / fixture), "--name", fixture, "--json", check=False)
    assert done.returncode == 1, done.stdout
    deployment = json.loads(done.stdout)
    assert deployment["status"] == "failed"
    problems = deployment["problems"]
    assert problems, deployment
    told = [(problem["file"], problem.get("line")) for problem in problems]
    assert (file, line) in told, problems
    assert any(part.lower() in problem["message"].lower() for problem in problems), problems
    # Nothing of it can be started.
    refused = server.post(f"/projects/{fixture}/run/start", {"api": "fine", "parameters": {}})
    assert refused.status_code in (400, 404)


def test_a_new_deployment_replaces_the_old_and_can_be_taken_back(server: Server, tmp_path: Path) -> None:
    project = tmp_path / "versions"
    write_project(project, "return 1")
    first = json.loads(server.cli("deploy", str(project), "--json").stdout)
    assert first["isActive"] is True
    assert server.run("versions", "which")["result"] == 1
    write_project(project, "return 2")
    second = json.loads(server.cli("deploy", str(project), "--json").stdout)
    assert server.run("versions", "which")["result"] == 2
    # A refused upload changes nothing.
    write_project(project, "return (")
    assert server.cli("deploy", str(project), check=False).returncode == 1
    assert server.run("versions", "which")["result"] == 2

    listed = server.http.get("/projects/versions/deployments").json()["deployments"]
    assert [deployment["status"] for deployment in listed] == ["failed", "ready", "ready"]
    assert [deployment["isActive"] for deployment in listed] == [False, True, False]
    assert listed[1]["id"] == second["id"]
    response = server.http.post(f"/projects/versions/deployments/{first['id']}/activate")
    assert response.status_code == 200, response.text
    assert server.run("versions", "which")["result"] == 1


def test_runs_in_flight_finish_on_their_own_deployment(server: Server, site: Any, tmp_path: Path) -> None:
    project = tmp_path / "inflight"
    path = "/ping/inflight/api"
    write_project(project, f"await page.goto('{site.url}{path}', {{timeout: 0}}); return 'old'", name="inflight")
    server.cli("deploy", str(project))
    site.control("hold", path=path)
    try:
        run = server.start_run("inflight", "which")
        site.wait_until_held(path)
        write_project(project, "return 'new'", name="inflight")
        server.cli("deploy", str(project))
    finally:
        site.control("release", path=path)
    assert server.run_result("inflight", run)["result"] == "old"
    assert server.run("inflight", "which")["result"] == "new"


def test_a_deployment_without_access_over_the_api_cancels_what_runs_and_what_waits(
    server: Server, site: Any, tmp_path: Path
) -> None:
    project = tmp_path / "closing"
    path = "/ping/closing/api"
    write_project(project, f"await page.goto('{site.url}{path}', {{timeout: 0}})", name="closing")
    server.cli("deploy", str(project))
    site.control("hold", path=path)
    try:
        runs = [server.start_run("closing", "which") for _ in range(2)]
        site.wait_until_held(path)
        (project / "Intuned.json").write_text(json.dumps({"projectName": "closing", "apiAccess": {"enabled": False}}))
        server.cli("deploy", str(project))
        for run in runs:
            ended = server.run_result("closing", run)
            assert (ended["status"], ended["reason"]["type"]) == ("canceled", "api-access-disabled")
    finally:
        site.control("release", path=path)
    refused = server.post("/projects/closing/run/start", {"api": "which", "parameters": {}})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad-request")


def test_a_pinned_dependency_is_installed_at_exactly_its_version(server: Server, tmp_path: Path) -> None:
    project = tmp_path / "pinned"
    write_project(project, "return require('is-number/package.json').version", name="pinned")
    (project / "package.json").write_text(json.dumps({
        "name": "pinned", "private": True,
        "dependencies": {"is-number": "6.0.0", "@intuned/runtime": "1.3.38", "@intuned/browser": "0.1.17"}}))
    deployment = json.loads(server.cli("deploy", str(project), "--json").stdout)
    assert any("@intuned/runtime" in warning["message"] for warning in deployment["warnings"]), deployment
    assert server.run("pinned", "which")["result"] == "6.0.0"


def test_a_python_project_gets_the_packages_it_pins(server: Server, tmp_path: Path) -> None:
    project = tmp_path / "pinned-py"
    (project / "api").mkdir(parents=True)
    (project / "Intuned.json").write_text(json.dumps({"projectName": "pinned-py"}))
    (project / "pyproject.toml").write_text(
        '[project]\nname = "pinned-py"\nversion = "1"\nrequires-python = ">=3.10"\n'
        'dependencies = ["six==1.16.0", "intuned-runtime", "playwright==1.64.1"]\n')
    (project / "api/which.py").write_text(
        "import six\n\nasync def automation(page, params=None, **_):\n    return {'six': six.__version__, 'title': await page.title()}\n")
    server.cli("deploy", str(project))
    assert server.run("pinned-py", "which")["result"]["six"] == "1.16.0"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("Intuned.json", '{"projectName": "%s", "browserSize": {"width": 640, "height": 480}}'),
        ("Intuned.jsonc", '{\n  // a comment\n  "projectName": "%s",\n  "browserSize": {"width": 640, "height": 480,},\n}'),
        ("Intuned.yaml", "projectName: %s\nbrowserSize:\n  width: 640\n  height: 480\n"),
        ("Intuned.yml", "projectName: %s\nbrowserSize: {width: 640, height: 480}\n"),
        ("Intuned.toml", 'projectName = "%s"\n[browserSize]\nwidth = 640\nheight = 480\n'),
    ],
)
def test_settings_are_read_in_every_format(server: Server, tmp_path: Path, file: str, text: str) -> None:
    name = file.replace(".", "-").lower()
    write_project(tmp_path, "return await page.evaluate(() => [innerWidth, innerHeight])", name=name)
    (tmp_path / "Intuned.json").unlink()
    (tmp_path / file).write_text(text % name)
    assert json.loads(server.cli("deploy", str(tmp_path), "--json").stdout)["projectName"] == name
    assert server.run(name, "which")["result"] == [640, 480]


def test_what_is_the_developers_own_does_not_travel(server: Server, tmp_path: Path) -> None:
    write_project(tmp_path, "return [process.env.OWN_CANARY ?? null, require('fs').existsSync('.env')]", name="own")
    (tmp_path / ".env").write_text("OWN_CANARY=1\n")
    (tmp_path / "node_modules/left-behind").mkdir(parents=True)
    server.cli("deploy", str(tmp_path))
    assert server.run("own", "which")["result"] == [None, False]


@pytest.mark.parametrize(
    "name",
    ["../escape.ts", "/absolute.ts", "api/../../escape.ts", "api\\windows.ts", "C:/drive.ts"],
)
def test_an_archive_that_reaches_outside_is_refused(server: Server, name: str) -> None:
    deployment = upload(server, "nasty", [(name, b"export default 1")])
    assert deployment["status"] == "failed", deployment
    assert deployment["problems"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_an_archive_with_anything_but_files_is_refused(server: Server, kind: bytes) -> None:
    deployment = upload(server, "nasty", [], links=[("api/link.ts", kind)])
    assert deployment["status"] == "failed", deployment


def test_colliding_names_are_refused(server: Server) -> None:
    for pair in (("api/a.ts", "api/a.ts"), ("api/a.ts", "api/A.ts"), ("api/\u00e9.ts", "api/e\u0301.ts")):
        assert upload(server, "nasty", [(name, b"export default 1") for name in pair])["status"] == "failed"


@pytest.mark.parametrize("body", [b"", b"not a tar", b"\x1f\x8b\x08\x00truncated", b"PK\x03\x04" + b"0" * 100])
def test_what_is_no_archive_is_refused_at_once(server: Server, body: bytes) -> None:
    response = put(server, "nasty", body)
    if response.status_code == 201:
        assert settled(server, "nasty", response.json()["id"])["status"] == "failed"
    else:
        assert (response.status_code, response.json()["code"]) == (400, "bad-request")


def write_project(folder: Path, body: str, name: str = "versions") -> None:
    (folder / "api").mkdir(parents=True, exist_ok=True)
    (folder / "Intuned.json").write_text(json.dumps({"projectName": name}))
    (folder / "package.json").write_text(json.dumps({"name": name, "private": True}))
    (folder / "api/which.ts").write_text(f"export default async function which(_params: unknown, page: any) {{ {body} }}\n")


def upload(
    server: Server, project: str, files: list[tuple[str, bytes]], links: list[tuple[str, bytes]] | None = None
) -> dict[str, Any]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in [("Intuned.json", b"{}"), ("package.json", b"{}"), ("api/ok.ts", b"export default async () => 1"), *files]:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
        for name, kind in links or []:
            header = tarfile.TarInfo(name)
            header.type, header.linkname = kind, "/etc/passwd"
            archive.addfile(header)
    response = put(server, project, buffer.getvalue())
    if response.status_code == 400:
        return {"status": "failed", "problems": [response.json()["message"]]}
    assert response.status_code == 201, response.text
    return settled(server, project, response.json()["id"])


def put(server: Server, project: str, body: bytes) -> Any:
    return server.http.put(f"/projects/{project}/deployments", content=body, headers={"content-type": "application/gzip"})


def settled(server: Server, project: str, deployment: str) -> dict[str, Any]:
    import time

    deadline = time.monotonic() + 120
    while True:
        answer = server.http.get(f"/projects/{project}/deployments/{deployment}").json()
        if answer["status"] != "building":
            return answer
        assert time.monotonic() < deadline
        time.sleep(0.05)
