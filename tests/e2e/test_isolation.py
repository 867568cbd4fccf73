"""What user code can reach, and what others can see of it: the sandbox from inside, slots and raw files from outside.

The probes are two small projects, one per language, whose only API runs a shell script inside the slot and gives back what
it said. They ask for what they must not have: the master key, the database, the server's memory and environment, other
slots' folders, other people's processes, the code they run.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from conftest import Login, make_login
from harness.processes import mentioning, wait_until_none_mention
from harness.server import ROOT, Server
from harness.site import Site

PROBES = ("probe-ts", "probe-py")
NEEDS_SANDBOX = "this host does not allow the sandbox that is tested here"
# Stands in the server's environment and on disk where only the server may look.
CANARY = "environment-canary-7f3a"

TS_API = """
import { spawnSync } from "node:child_process";
export default async function shell(params: { script: string }) {
  const done = spawnSync("/bin/sh", ["-c", params.script], { encoding: "utf8", maxBuffer: 1 << 20 });
  return { code: done.status, out: done.stdout, err: done.stderr };
}
"""
PY_API = """
import subprocess

async def automation(page, params=None, **_kwargs):
    done = subprocess.run(["/bin/sh", "-c", params["script"]], capture_output=True, text=True, errors="replace")
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}
"""


def write_probe(folder: Path, name: str, **settings: object) -> Path:
    """A project with the one API `shell`."""
    project = folder / name
    (project / "api").mkdir(parents=True)
    (project / "Intuned.json").write_text(json.dumps({"projectName": name, "apiAccess": {"enabled": True}, **settings}))
    if name.endswith("-ts"):
        (project / "package.json").write_text(json.dumps({"name": name, "version": "1.0.0", "private": True}))
        (project / "api/shell.ts").write_text(TS_API)
    else:
        (project / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\nversion = "1.0.0"\nrequires-python = ">=3.10"\ndependencies = []\n'
        )
        (project / "api/shell.py").write_text(PY_API)
    return project


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the probes and a project with logins, and a canary in its environment."""
    folder = tmp_path_factory.mktemp("isolation")
    server = Server(folder / "data", "--concurrency", "4", env={"SERVER_CANARY": CANARY})
    for name in PROBES:
        server.deploy(str(write_probe(folder, name)))
    server.deploy("examples/fixtures/login-lab-ts")
    yield server
    assert server.stop() == 0


@pytest.fixture
def sandboxed(guarded: Server) -> Server:
    if not protections(guarded)["isRunnerSandboxed"]:
        pytest.skip(NEEDS_SANDBOX)
    return guarded


def protections(server: Server) -> dict:
    return httpx.get(f"{server.url}/health").json()["server"]["protections"]


def shell(server: Server, project: str, script: str) -> str:
    """What a script says inside a slot."""
    run = server.run(project, "shell", parameters={"script": script}, retry={"maximumAttempts": 1})
    assert run["status"] == "completed", run
    return run["result"]["out"]


@pytest.mark.parametrize("project", PROBES)
def test_user_code_sees_its_own_folder_and_read_only_code_and_nothing_of_the_server(sandboxed: Server, project: str) -> None:
    data = sandboxed.data_dir
    seen = shell(sandboxed, project, f"cd '{data}' && find . -maxdepth 2 | sort").splitlines()
    slots = [path for path in seen if path.startswith("./slots/")]
    assert len(slots) == 1, seen
    assert {path.split("/")[1] for path in seen if path != "."} == {"deployments", "slots"}, seen
    for secret in ("master.key", "keywright.db", "keywright.db-wal", "keywright.lock", "blobs", "traces", "builds"):
        assert shell(sandboxed, project, f"test -e '{data}/{secret}' || echo none").strip() == "none", secret
    for place in ("/root", "/home", "/run", "/var", "/sys", "/etc/shadow", "/etc/ssl/private"):
        listed = shell(sandboxed, project, f"ls -A {place} 2>/dev/null | head -5").split()
        # The way to what is mounted may lead through such a folder; only that is in it.
        ways = {
            Path(path).relative_to(place).parts[0]
            for path in (data, os.environ["KEYWRIGHT_TEST_RUNTIME_DIR"])
            if str(path).startswith(f"{place}/")
        }
        assert set(listed) <= ways, place


@pytest.mark.parametrize("project", PROBES)
def test_user_code_sees_no_process_but_its_own_and_no_environment_of_the_server(sandboxed: Server, project: str) -> None:
    everything = shell(sandboxed, project, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'")
    assert "KEYWRIGHT_SLOT_DIR=" in everything
    assert CANARY not in everything
    assert sandboxed.api_key not in everything
    assert f"serve\n--data-dir\n{sandboxed.data_dir}" not in everything
    assert shell(sandboxed, project, f"test -e /proc/{sandboxed.process.pid} || echo none").strip() in ("none", "")
    kept = {line.split("=")[0] for line in shell(sandboxed, project, "env").splitlines()}
    assert not any(name.startswith(("KEYWRIGHT_TEST", "KEYWRIGHT_BINARY", "SERVER_", "PYTEST", "CARGO")) for name in kept), kept


@pytest.mark.parametrize("project", PROBES)
def test_user_code_has_no_rights_and_leaves_no_core(sandboxed: Server, project: str) -> None:
    status = dict(
        line.split(":\t", 1) for line in shell(sandboxed, project, "cat /proc/self/status").splitlines() if ":\t" in line
    )
    assert status["Uid"].split()[0] != "0"
    assert status["NoNewPrivs"] == "1"
    for rights in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[rights], 16) == 0, rights
    assert shell(sandboxed, project, "ulimit -c; ulimit -Hc").split() == ["0", "0"]
    assert int(shell(sandboxed, project, "ulimit -Hn")) <= 4096
    assert shell(sandboxed, project, "mount -t tmpfs none /tmp 2>/dev/null || echo refused").strip() == "refused"


@pytest.mark.parametrize("project", PROBES)
def test_user_code_cannot_change_the_code_it_runs_or_anybody_elses(sandboxed: Server, project: str) -> None:
    runtime = os.environ["KEYWRIGHT_TEST_RUNTIME_DIR"]
    before = snapshot(sandboxed.data_dir / "deployments")
    for place in (
        f"{sandboxed.data_dir}/deployments",
        f"{sandboxed.data_dir}/deployments/*",
        f"{sandboxed.data_dir}/deployments/*/api",
        f"{runtime}",
        f"{runtime}/*",
        "/usr/bin",
        "/etc",
        f"{sandboxed.data_dir}/slots/..",
    ):
        written = shell(
            sandboxed, project, f"for place in {place}; do touch $place/planted 2>/dev/null && echo $place; done; true"
        )
        # Folders on the way to what is mounted are the sandbox's own and go with it.
        assert not [path for path in written.split() if Path(path, "planted").exists()], place
    changed = shell(
        sandboxed,
        project,
        f"for file in {sandboxed.data_dir}/deployments/*/api/*; do echo x 2>/dev/null >>$file && echo $file; done; true",
    )
    assert changed == ""
    assert snapshot(sandboxed.data_dir / "deployments") == before


@pytest.mark.parametrize("project", PROBES)
def test_a_runner_inherits_nothing_that_is_open_in_the_server(sandboxed: Server, project: str) -> None:
    links = shell(sandboxed, project, "ls -l /proc/[0-9]*/fd 2>/dev/null | sed -n 's/.* -> //p' | sort -u").splitlines()
    outside = [
        link
        for link in links
        if link.startswith(f"{sandboxed.data_dir}/") and "/slots/" not in link and "/deployments/" not in link
    ]
    assert links and outside == []


@pytest.mark.parametrize("project", PROBES)
def test_user_code_that_kills_everything_it_can_kills_its_own_attempt(sandboxed: Server, project: str) -> None:
    run = sandboxed.run(project, "shell", parameters={"script": "kill -9 -1; kill -9 1"}, retry={"maximumAttempts": 1})
    assert run["status"] == "failed"
    assert run["error"]["details"]["last_error"]["code"] in (
        "script-process-crashed",
        "script-execution-exception",
        "script-no-valid-output-received",
    )
    assert sandboxed.process.poll() is None
    assert shell(sandboxed, project, "echo alive").strip() == "alive"


def test_what_a_slot_of_one_session_left_is_not_there_for_another(sandboxed: Server, site: Site) -> None:
    """Other session, other slot: neither files, nor variables of the process, nor cookies cross."""
    ada, alan = make_login(site), make_login(site)
    for login in (ada, alan):
        session = f"cross-{login.username}"
        assert sandboxed.create("login-lab-ts", id=session, parameters=login.parameters)["status"] == "done"
    who = [sandboxed.run("login-lab-ts", "whoami", authSession={"id": f"cross-{login.username}"}) for login in (ada, alan, ada)]
    names = [json.dumps(run["result"]) for run in who]
    assert ada.username.title() in names[0] and alan.username.title() in names[1] and ada.username.title() in names[2]
    assert alan.username.title() not in names[0] + names[2]
    # A project without logins never gets a slot of a session, nor one of another project.
    for project in PROBES:
        shell(sandboxed, project, "echo left >$HOME/left-behind")
    for project in PROBES:
        files = shell(sandboxed, project, f"find {sandboxed.data_dir}/slots -name left-behind -path '*/slots/*'").split()
        assert all(Path(path).parent.parent.name == "slots" for path in files) and len(files) <= 1, files


def test_processes_of_a_login_show_no_secret_on_command_lines_and_in_environments(guarded: Server, site: Site) -> None:
    login = make_login(site)
    proxy = site.proxy_url.replace("http://", "http://proxy-user:proxy-pass-argv@")  # type: ignore[union-attr]
    body = {
        "id": f"argv-{login.username}",
        "parameters": {**login.parameters, "check": "hangs"},
        "proxy": proxy,
        "createAttempts": 1,
        "checkAttempts": 1,
        "requestTimeout": 20,
    }
    guarded.start_create("login-lab-ts", **body)
    wait_for_check(site, login)
    secrets = [login.password, "proxy-pass-argv", guarded.api_key, (guarded.data_dir / "master.key").read_text().strip()]
    for entry in site.control("secrets", username=login.username)["sessions"]:
        secrets += entry.values()
    assert len(secrets) >= 8
    assert mentioning(f"{guarded.data_dir}/slots"), "the slot is not there"
    for secret in secrets:
        assert mentioning(secret) == [], "a secret stands on a command line or in an environment"


def test_private_folders_are_private_while_a_login_runs_after_a_kill_and_gone_after_the_next_start(
    tmp_path: Path, site: Site
) -> None:
    server = Server(tmp_path / "data", "--shutdown-grace-s", "0")
    try:
        server.deploy("examples/fixtures/login-lab-ts")
        login = make_login(site, check="hangs")
        server.start_create("login-lab-ts", id="private", parameters=login.parameters, saveTrace=True)
        wait_for_check(site, login)
        check_modes(server.data_dir)
    finally:
        server.kill()
    assert wait_until_none_mention(str(server.data_dir), 10) == [], "something outlived the server"
    check_modes(server.data_dir)
    left = {path.name for path in (server.data_dir / "slots").iterdir()}
    assert left, "a killed server leaves its slots' folders, which is what this test is about"
    server.start()
    assert server.stop() == 0
    assert list((server.data_dir / "slots").iterdir()) == []
    assert list((server.data_dir / "traces").iterdir()) == []


def wait_for_check(site: Site, login: Login) -> None:
    """Waits until user code of the login's check runs: the login itself is then over, and its state is in the browser."""
    deadline = time.monotonic() + 60
    while not site.state()["hits"].get(f"/ping/{login.username}/check"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def check_modes(data: Path) -> None:
    assert mode(data) == 0o700
    for name in ("master.key", "slots", "traces"):
        assert mode(data / name) & 0o077 == 0, name
    for slot in (data / "slots").iterdir():
        if slot.is_dir():
            assert mode(slot) == 0o700, slot
    for trace in (data / "traces").iterdir():
        assert mode(trace) & 0o077 == 0, trace


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_server_cannot_be_looked_into_or_dumped(guarded: Server) -> None:
    limits = Path(f"/proc/{guarded.process.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"], core


def test_a_proxys_password_in_a_projects_settings_is_not_left_for_other_projects(guarded: Server, tmp_path: Path) -> None:
    proxy = "http://proxy-user:settings-pass-canary@127.0.0.1:9"
    for name in ("hides-ts", "hides-py"):
        guarded.deploy(str(write_probe(tmp_path, name, proxy={"deployed": proxy})))
    for path in (guarded.data_dir / "deployments").rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"settings-pass-canary" not in path.read_bytes(), path
    for project in ("hides-ts", "hides-py"):
        for answer in (f"/projects/{project}/deployments", "/projects"):
            assert "settings-pass-canary" not in guarded.http.get(answer).text


def test_what_does_not_protect_is_said(guarded: Server) -> None:
    said = protections(guarded)
    assert any("network" in line and "debugging port" in line for line in said["missing"]), said
    assert any("not bounded" in line for line in said["missing"]), said
    log = guarded.log_path.read_text()
    for line in said["inForce"]:
        assert f"protected: {line}" in log
    for line in said["missing"]:
        assert f"NOT protected: {line}" in log


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time of change."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def test_every_test_that_the_security_page_names_exists() -> None:
    named = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`", (ROOT / "docs/SECURITY.md").read_text()))
    sources = [
        path for folder in ("crates", "tests/e2e") for suffix in ("rs", "py") for path in (ROOT / folder).rglob(f"*.{suffix}")
    ]
    defined = set(re.findall(r"(?:fn|def) ([a-z0-9_]+)\(", "\n".join(path.read_text() for path in sources)))
    assert len(named) > 30
    assert named - defined == set()


def test_a_browser_listens_on_no_port_unless_its_project_has_a_hook(guarded: Server) -> None:
    shell(guarded, "probe-ts", "true")
    slots = [person.split()[0] for person in mentioning(str(guarded.data_dir)) if " serve " not in person]
    browsers = [words for words in map(command_of, slots) if "--remote-debugging-pipe" in words]
    assert browsers, "no browser is running"
    assert not [words for words in browsers if any(word.startswith("--remote-debugging-port") for word in words)]
    assert not [slot for slot in slots if listens(slot)]


def command_of(process: str) -> list[str]:
    """The words of a process's command line."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []  # it ended meanwhile


def listens(process: str) -> bool:
    """Whether a process has a socket on which it listens."""
    tables = Path("/proc/net/tcp").read_text().splitlines() + Path("/proc/net/tcp6").read_text().splitlines()
    waiting = {fields[9] for fields in map(str.split, tables) if fields[3] == "0A"}
    try:
        links = [os.readlink(descriptor) for descriptor in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:
        return False  # it ended meanwhile
    return any(link.removeprefix("socket:[").removesuffix("]") in waiting for link in links)
