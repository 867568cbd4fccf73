"""The binary as a script uses it: one line of JSON, exit codes, nothing secret printed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from harness.server import BINARY, ROOT, RUNTIME_DIR, Server

FIXTURES = ROOT / "examples/fixtures"
SHOP = str(ROOT / "examples/shop-ts")


def test_the_first_start_prints_one_line_and_the_key_only_then(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    assert server.api_key.startswith("kw_")
    key_file = next(path for path in (tmp_path / "data").iterdir() if path.name.endswith(".key"))
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    first_key = server.api_key
    assert server.stop() == 0
    assert server.process.stdout is not None
    assert server.process.stdout.read() == "", "more than one line on stdout"
    assert first_key not in server.log_path.read_text()

    command = [BINARY, "serve", "--data-dir", str(server.data_dir), "--listen", "127.0.0.1:0", "--runtime-dir", RUNTIME_DIR]
    again = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert again.stdout is not None
    line = json.loads(again.stdout.readline())
    assert set(line) == {"url", "workspaceId", "roles"}
    again.terminate()
    assert again.wait(60) == 0


def test_keys_can_be_made_listed_and_revoked(server: Server) -> None:
    made = json.loads(server.cli("keys", "create", "--name", "ci", "--json").stdout)
    assert made["key"].startswith("kw_")
    assert server.client(made["key"]).get("/projects/shop-ts/auth-sessions").status_code == 200
    listed = server.cli("keys", "list", "--json").stdout
    assert made["key"] not in listed
    assert made["id"] in [key["id"] for key in json.loads(listed)["keys"]]
    server.cli("keys", "revoke", made["id"])
    assert server.client(made["key"]).get("/projects/shop-ts/auth-sessions").status_code == 401
    unknown = server.cli("keys", "revoke", "no-such-key", check=False)
    assert unknown.returncode == 1
    assert "correlation" in unknown.stderr


def test_whoever_owns_the_folder_can_get_back_in(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    refused = server.cli("keys", "recover", "--data-dir", str(server.data_dir), check=False)
    assert (refused.returncode, refused.stdout) == (1, ""), "a running server keeps its folder to itself"
    assert server.stop() == 0
    made = json.loads(server.cli("keys", "recover", "--data-dir", str(server.data_dir), "--json").stdout)
    assert made["workspaceId"] == server.workspace_id
    server.start()
    assert server.client(made["apiKey"]).get("/projects").status_code == 200
    assert server.http.get("/projects").status_code == 200
    assert server.stop() == 0
    elsewhere = server.cli("keys", "recover", "--data-dir", str(tmp_path), check=False)
    assert (elsewhere.returncode, elsewhere.stdout) == (1, "")
    assert not (tmp_path / "master.key").exists()


def test_a_second_server_on_the_same_folder_is_refused(server: Server) -> None:
    command = [BINARY, "serve", "--data-dir", str(server.data_dir), "--listen", "127.0.0.1:0", "--runtime-dir", RUNTIME_DIR]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert second.stdout == ""
    assert "in use" in second.stderr or "another" in second.stderr


def test_wrong_options_end_with_2_and_say_which(tmp_path: Path) -> None:
    for arguments, part in (
        (["--data-dir", str(tmp_path), "--concurrency", "0"], "concurrency"),
        (["--data-dir", str(tmp_path), "--browser-arg=--no-sandbox"], "browser-arg"),
        (["--data-dir", str(tmp_path), "--default-proxy", "socks4://x"], "default-proxy"),
        (["--data-dir", str(tmp_path), "--listen", "nonsense"], "listen"),
        ([], "data-dir"),
    ):
        done = subprocess.run([BINARY, "serve", *arguments], capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert part in done.stderr


def test_a_wrong_master_key_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    assert server.stop() == 0
    key_file = next(path for path in (tmp_path / "data").iterdir() if path.name.endswith(".key"))
    right = key_file.read_text()
    key_file.write_text("00" * 32)
    command = [BINARY, "serve", "--data-dir", str(server.data_dir), "--listen", "127.0.0.1:0", "--runtime-dir", RUNTIME_DIR]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "key" in refused.stderr
    key_file.write_text(right)
    server.start()
    assert server.http.get("/projects").status_code == 200
    assert server.stop() == 0


def test_help_names_every_command() -> None:
    done = subprocess.run([BINARY, "--help"], capture_output=True, text=True, check=True, env=dict(os.environ))
    for command in ("serve", "deploy", "keys", "setup"):
        assert command in done.stdout


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["/nowhere"], "/nowhere is not a folder"),
        ([str(FIXTURES / "broken-settings-missing")], "has no settings file"),
        ([str(FIXTURES / "broken-settings-types")], "Intuned.json:4: the settings file has a bad `authSessions.enabled`"),
        ([str(FIXTURES / "broken-settings-syntax")], "Intuned.json:4: the settings file cannot be read"),
        ([str(FIXTURES / "broken-ts-syntax")], "api/broken.ts:3: "),
        ([SHOP, "--name", "a b"], "(400, correlation id "),
        ([SHOP, "--url", "http://127.0.0.1:9"], "the server cannot be reached"),
        ([SHOP, "--url", "ftp://x"], "is not an http:// or https:// URL"),
        ([SHOP, "--api-key", "kw_wrong-canary"], "(401, correlation id "),
        ([SHOP, "--workspace-id", "123e4567-e89b-12d3-a456-426614174000"], "(401, correlation id "),
    ],
)
def test_a_deploy_that_cannot_be_says_why_on_stderr_and_ends_with_1(server: Server, arguments: list[str], part: str) -> None:
    done = server.cli("deploy", *arguments, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert part in done.stderr
    assert server.api_key not in done.stderr and "canary" not in done.stderr


def test_a_command_without_a_key_ends_with_2() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("KEYWRIGHT_")}
    done = subprocess.run([BINARY, "keys", "list"], env=env, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--api-key" in done.stderr
