"""How a server is started, configured, troubled and ended by the person who runs it."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import make_login
from harness.processes import wait_until_none_mention
from harness.server import BINARY, MAX_WAIT_SECONDS, RUNTIME_DIR, Server
from harness.site import Site
from harness.stub import PLAIN, StubServer, script

# Where a page says what kind of browser it is in: the fast one has no plugins.
LOOKS = """export default async function looks(params: { url: string }, page: any) {
  await page.goto(params.url);
  return await page.evaluate(() => ({ text: document.body.innerText, plugins: navigator.plugins.length }));
}
"""
HOST = "shop.example.test"


def serve(data_dir: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to be refused."""
    command = [BINARY, "serve", "--data-dir", str(data_dir), "--runtime-dir", RUNTIME_DIR, *arguments]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False)


def project(folder: Path, name: str, code: str = LOOKS, **settings: Any) -> Path:
    (folder / "api").mkdir(parents=True)
    (folder / "Intuned.json").write_text(json.dumps({"projectName": name, **settings}))
    (folder / "package.json").write_text("{}")
    (folder / "api/looks.ts").write_text(code)
    return folder


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A site whose certificate nobody signed but itself; its port."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={HOST}", "-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")],
        check=True, capture_output=True)

    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name is the library's
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<body>hello over " + self.headers["host"].encode() + b"</body>")

        def log_message(self, *_: object) -> None:
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    site.socket = context.wrap_socket(site.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    yield site.server_port
    site.shutdown()
    site.server_close()


def test_a_port_in_use_is_told_and_no_key_is_made_that_nobody_saw(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = serve(tmp_path / "data", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "cannot listen on 127.0.0.1" in refused.stderr
    server = Server(tmp_path / "data")
    assert server.api_key.startswith("kw_"), "the first key was made by a start that failed"
    assert server.http.get("/projects").status_code == 200
    assert server.stop() == 0


def test_a_browser_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    refused = serve(tmp_path / "data", "--listen", "127.0.0.1:0", KEYWRIGHT_HEADLESS_SHELL_PATH="/nowhere/shell")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "headless-shell-path" in refused.stderr and "/nowhere/shell" in refused.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--roles", "worker"], "bad `roles`: can only be `all` on SQLite"),
    (["--roles", "api,scheduler"], "bad `roles`: can only be `all` on SQLite"),
    (["--database-url", "mysql://u:hunter22@h/d"], "bad `database-url`: must be a URL that begins with postgres://"),
    (["--database-direct-url", "postgres://u:hunter22@h/d"], "means nothing without `database-url`"),
    (["--blobs", "s3://bucket/p", "--s3-region", "eu-west-1"], "the environment has no AWS_ACCESS_KEY_ID"),
    (["--s3-endpoint", "http://127.0.0.1:9"], "means nothing unless `blobs` is an address like s3://bucket/prefix"),
    (["--lease-ttl-ms", "20000"], "lease times must grow from beat"),
    (["--worker-label", "Über"], "bad `worker-label`"),
    (["--keep-runs-days", "40000"], "must be at most 36500, or 0 for no limit"),
    (["--drain-delay-s", "301"], "bad `drain-delay-s`"),
])
def test_options_that_make_no_sense_are_refused_with_a_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    refused = serve(tmp_path / "data", "--listen", "127.0.0.1:0", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert sentence in refused.stderr and "hunter22" not in refused.stderr, refused.stderr
    assert not (tmp_path / "data").exists()


def test_a_password_in_the_environment_is_not_shown_by_the_help() -> None:
    url = "postgres://u:hunter22@h/d"
    env = {**os.environ, "KEYWRIGHT_DATABASE_URL": url, "KEYWRIGHT_DATABASE_DIRECT_URL": url, "KEYWRIGHT_DEFAULT_PROXY": url}
    shown = subprocess.run([BINARY, "serve", "--help"], env=env, capture_output=True, text=True, check=True).stdout
    assert "KEYWRIGHT_DATABASE_URL" in shown and "hunter22" not in shown


def test_a_data_folder_is_one_processs(tmp_path: Path) -> None:
    server = StubServer(tmp_path / "data", tmp_path / "journal")
    refused = serve(tmp_path / "data", "--listen", "127.0.0.1:0")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "another process uses the data folder" in refused.stderr
    node = (tmp_path / "data/node.id").read_text()
    assert server.stop() == 0
    server.start()
    assert (tmp_path / "data/node.id").read_text() == node, "it is the same node in every life"
    assert server.stop() == 0


def test_while_a_server_ends_it_is_not_ready_but_serves(tmp_path: Path) -> None:
    server = StubServer(tmp_path / "data", tmp_path / "journal", "--shutdown-grace-s", "3600")
    server.deploy_stubs()
    hanging = server.start_run(PLAIN, "work", parameters=script(hangs=True), retry={"maximumAttempts": 1})
    wait_for(lambda: server.attempts(PLAIN, hanging))
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: httpx.get(f"{server.url}/health/ready").status_code == 503)
    refused = httpx.get(f"{server.url}/health/ready")
    assert refused.json()["details"] == {"reasons": ["the server is ending"]}
    assert httpx.get(f"{server.url}/health/live").status_code == 200
    assert httpx.get(f"{server.url}/health").json()["details"]["server"]["worker"]["isDraining"] is True
    # What is accepted now is done by the next life.
    later = server.start_run(PLAIN, "work", parameters=script())
    assert server.http.get(f"/projects/{PLAIN}/run/{hanging}/result").json()["status"] == "started"
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    server.start()
    assert server.run_result(PLAIN, later)["status"] == "completed"
    # Its only attempt was under way, so it counts.
    assert server.run_result(PLAIN, hanging)["status"] == "failed"
    assert server.stop() == 0


def test_a_load_balancer_is_given_time_to_move_on(tmp_path: Path) -> None:
    server = StubServer(tmp_path / "data", tmp_path / "journal", "--drain-delay-s", "300")
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: httpx.get(f"{server.url}/health/ready").status_code == 503)
    assert server.http.get("/projects").status_code == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


def test_term_ends_a_start_too(tmp_path: Path) -> None:
    # A runtime folder of its own: installing it takes far longer than it takes to send a signal.
    command = [BINARY, "serve", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]
    starting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert starting.stderr is not None and starting.stdout is not None
    line = starting.stderr.readline()
    assert line, "it says what it does"
    starting.send_signal(signal.SIGTERM)
    assert starting.wait(60) == 0
    assert starting.stdout.read() == "", "it was not ready"
    assert wait_until_none_mention(str(tmp_path), 10) == []


def test_health_document_and_page_are_served_without_a_key(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        report = http.get("/health").json()
        assert report["status"] == "ok"
        about = report["server"]
        assert about["roles"] == ["api", "scheduler", "worker"]
        assert about["database"] == {"kind": "sqlite", "isReachable": True}
        assert (about["liveWorkers"], about["worker"]["isFenced"], about["degraded"]) == (1, False, [])
        assert about["disk"]["freeBytes"] > 0
        protections = about["protections"]
        assert protections["inForce"] or protections["missing"], "it says what protects it and what does not"
        for path in ("/health/live", "/health/ready"):
            assert http.get(path).json() == {"status": "ok"}
        document = http.get("/openapi.json").json()
        assert document["openapi"].startswith("3.1.")
        assert "/api/v1/workspace/{workspaceId}/projects/{projectName}/auth-sessions/create" in document["paths"]
        assert http.get("/docs").headers["location"] == "/docs/"
    # A real browser, which may talk to this server only, shows the page and every operation on it.
    browser = ["/usr/bin/chromium-headless-shell", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    shown = subprocess.run(
        [*browser, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=10000", "--dump-dom",
         f"{server.url}/docs/"],
        capture_output=True, text=True, timeout=120, check=True).stdout
    for operation in (operation for methods in document["paths"].values() for operation in methods.values()):
        assert operation["operationId"] in shown, operation["operationId"]


def test_a_second_term_does_not_wait_for_the_grace(tmp_path: Path, site: Site) -> None:
    ending = Server(tmp_path / "data", "--shutdown-grace-s", "3600")
    ending.deploy("examples/fixtures/unruly-ts")
    path = "/ping/second-term/api"
    site.control("hold", path=path)
    try:
        ending.start_run("unruly-ts", "waits", parameters={"visit": f"{site.url}{path}"})
        wait_for(lambda: site.state()["holding"].get(path))
        ending.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "TERM: ending" in ending.log_path.read_text())
        ending.process.send_signal(signal.SIGTERM)
        assert ending.process.wait(60) == 0
    finally:
        site.control("release", path=path)
    assert "TERM again" in ending.log_path.read_text()
    assert wait_until_none_mention(str(tmp_path), 10) == []


def test_everything_can_be_said_in_the_file(tmp_path: Path, site: Site, https: int) -> None:
    config = tmp_path / "keywright.toml"
    config.write_text(f"""
        data-dir = "{tmp_path / "data"}"
        listen = "127.0.0.1:9"
        runtime-dir = "{RUNTIME_DIR}"
        concurrency = 1
        browser = "chromium"
        browser-arg = ["--host-resolver-rules=MAP {HOST} 127.0.0.1"]
        ignore-https-errors = true
        default-proxy = "{site.proxy_url}"
        shutdown-grace-s = 5
        log-format = "json"
        """)
    # A flag beats the file, which Server gives for data, address and runtime; the rest is the file's.
    server = Server(tmp_path / "data", "--config", str(config))
    log = [json.loads(line) for line in server.log_path.read_text().splitlines()]
    assert log and all(line["level"] for line in log)
    server.cli("deploy", str(project(tmp_path / "looks", "looks")))
    seen = server.run("looks", "looks", parameters={"url": f"https://{HOST}:{https}/"})
    assert seen["status"] == "completed", seen
    assert seen["result"]["text"] == f"hello over {HOST}:{https}"
    assert seen["result"]["plugins"] > 0, "the file asked for the full browser"

    server.deploy("examples/fixtures/login-lab-ts")
    login = make_login(site)
    made = server.create("login-lab-ts", id="auto", parameters=login.parameters, proxy="intuned://auto")
    assert made == {"status": "done", "authSessionId": "auto"}
    saw = site.seen(login.username)
    assert (saw["direct"], saw["proxied"] > 0) == (0, True)
    # A project may ask for the operator's proxy too.
    server.cli("deploy", str(project(tmp_path / "auto", "auto", proxy={"deployed": "intuned://auto"})))
    path = f"{site.url}/ping/project-proxy/api"
    assert server.run("auto", "looks", parameters={"url": path})["status"] == "completed"
    assert server.stop() == 0


def test_a_certificate_that_nobody_signed_is_not_trusted_by_default(tmp_path: Path, https: int) -> None:
    rules = f"--host-resolver-rules=MAP {HOST} 127.0.0.1"
    server = Server(tmp_path / "data", env={"KEYWRIGHT_BROWSER_ARG": rules})
    server.cli("deploy", str(project(tmp_path / "looks", "looks")))
    refused = server.run("looks", "looks", parameters={"url": f"https://{HOST}:{https}/"}, retry={"maximumAttempts": 1})
    assert refused["status"] == "failed"
    assert "ERR_CERT_AUTHORITY_INVALID" in refused["error"]["details"]["last_error"]["message"], refused
    assert server.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_full_disk_is_a_503_and_is_recovered_from_without_a_restart(tmp_path: Path, site: Site) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", str(disk)], check=True)
    try:
        server = Server(disk / "data")
        server.deploy("examples/fixtures/login-lab-ts")
        login = make_login(site)
        assert server.create("login-lab-ts", id="before", parameters=login.parameters)["status"] == "done"
        fill(disk / "ballast")
        # The room that the database already has lasts for a while.
        body = {"parameters": {**login.parameters, "filler": "x" * 1_000_000, "create": "throws"}, "createAttempts": 1}
        for _ in range(50):
            refused = server.post("/projects/login-lab-ts/auth-sessions/create", body)
            if refused.status_code != 201:
                break
        assert (refused.status_code, refused.json()["code"]) == (503, "service-unavailable")
        assert (refused.json()["category"], refused.json()["retirable"]) == ("infrastructure", True)
        assert int(refused.headers["retry-after"]) >= 1
        assert server.session("login-lab-ts", "before")["status"] == "READY", "what is there can still be read"

        (disk / "ballast").unlink()
        again = make_login(site)
        assert server.create("login-lab-ts", id="after", parameters=again.parameters) == {"status": "done", "authSessionId": "after"}
        assert server.run("login-lab-ts", "whoami", authSession={"id": "before"})["status"] == "completed"
        assert server.stop() == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(path: Path) -> None:
    """Takes all room that the disk has left."""
    with path.open("wb", buffering=0) as ballast:
        for size in (1 << 20, 4096):
            try:
                while True:
                    ballast.write(b"\0" * size)
            except OSError:
                pass


def wait_for(happened: Any) -> None:
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
