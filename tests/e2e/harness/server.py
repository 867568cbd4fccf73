"""The real binary as a child process, and a plain HTTP client to it whose every answer is held against the contract."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from .contract import hold

ROOT = Path(__file__).parents[3]
BINARY = os.environ["KEYWRIGHT_BINARY"]
RUNTIME_DIR = os.environ["KEYWRIGHT_TEST_RUNTIME_DIR"]
# Longest time an operation may take before its test fails. Generous: speed is not what is tested.
MAX_WAIT_SECONDS = 90
UNFINISHED = ("pending", "started", "in_progress")


class Server:
    """A server on a data folder; it can be killed and started again on the same folder."""

    # Words before the command, for what watches the process from outside.
    _prefix: list[str] = []

    def __init__(self, data_dir: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self._arguments = arguments
        self.api_key = ""
        self.workspace_id = ""
        self.url = ""
        self.log_path = data_dir.parent / f"{data_dir.name}.log"
        # A test that fails half-way leaves its server running; nothing outlives the tests.
        atexit.register(self._end)
        self.start(env=env)

    def start(self, env: dict[str, str] | None = None) -> None:
        """Starts the process and waits until it is ready."""
        command = [*self._prefix, BINARY, "serve", "--data-dir", str(self.data_dir), "--listen", "127.0.0.1:0",
                   "--runtime-dir", RUNTIME_DIR]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self._arguments], stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(env or {})}
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the server did not start:\n{self.log_path.read_text()[-4000:]}"
        ready = json.loads(line)
        self.url = ready["url"]
        # A node without the API has no workspace to tell.
        self.workspace_id = ready.get("workspaceId") or self.workspace_id
        self.api_key = ready.get("apiKey") or self.api_key
        self.http = self.client(self.api_key)

    def client(self, api_key: str) -> httpx.Client:
        """A client with a key, whose answers are held against the contract."""
        return httpx.Client(
            base_url=f"{self.url}/api/v1/workspace/{self.workspace_id}",
            headers={"x-api-key": api_key},
            timeout=30,
            event_hooks={"response": [hold]},
        )

    @property
    def base_url(self) -> str:
        """What the published client calls its base url."""
        return f"{self.url}/api/v1/workspace"

    def kill(self) -> None:
        """Ends it the hard way."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def _end(self) -> None:
        if self.process.poll() is None:
            self.kill()

    def stop(self) -> int:
        """Ends it the polite way; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command of the binary against this server."""
        env = {
            **os.environ,
            "KEYWRIGHT_URL": self.url,
            "KEYWRIGHT_API_KEY": self.api_key,
            "KEYWRIGHT_WORKSPACE_ID": self.workspace_id,
        }
        done = subprocess.run([BINARY, *arguments], env=env, capture_output=True, text=True, timeout=150, check=False)
        assert not check or done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def deploy(self, folder: str, name: str | None = None) -> dict[str, Any]:
        """Deploys a project of this repository."""
        arguments = ["deploy", str(ROOT / folder), "--json", *(["--name", name] if name else [])]
        return json.loads(self.cli(*arguments).stdout)

    # --- the contract's operations, plainly ------------------------------------------------------------------------

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.http.post(path, json={} if body is None else body, headers=headers)

    def start_create(self, project: str, **body: Any) -> str:
        response = self.post(f"/projects/{project}/auth-sessions/create", body)
        assert response.status_code == 201, response.text
        assert response.json()["status"] == "started"
        return response.json()["operationId"]

    def create(self, project: str, **body: Any) -> dict[str, Any]:
        operation = self.start_create(project, **body)
        return self.wait(f"/projects/{project}/auth-sessions/create/{operation}/result")

    def update(self, project: str, session: str, **body: Any) -> dict[str, Any]:
        response = self.post(f"/projects/{project}/auth-sessions/{session}/update", body)
        assert response.status_code == 201, response.text
        return self.wait(f"/projects/{project}/auth-sessions/{session}/update/{response.json()['operationId']}/result")

    def validate(self, project: str, session: str, **body: Any) -> dict[str, Any]:
        response = self.post(f"/projects/{project}/auth-sessions/{session}/validate/start", body)
        assert response.status_code == 201, response.text
        assert response.json()["status"] == "pending"
        return self.wait(f"/projects/{project}/auth-sessions/{session}/validate/{response.json()['operationId']}/result")

    def start_run(self, project: str, api: str, **body: Any) -> str:
        response = self.post(f"/projects/{project}/run/start", {"api": api, "parameters": {}, **body})
        assert response.status_code == 201, response.text
        assert response.json()["status"] == "pending"
        return response.json()["runId"]

    def run(self, project: str, api: str, **body: Any) -> dict[str, Any]:
        return self.run_result(project, self.start_run(project, api, **body))

    def run_result(self, project: str, run: str) -> dict[str, Any]:
        return self.wait(f"/projects/{project}/run/{run}/result")

    def session(self, project: str, session: str) -> dict[str, Any]:
        response = self.http.get(f"/projects/{project}/auth-sessions/{session}")
        assert response.status_code == 200, response.text
        return response.json()

    def attempts(self, project: str, run: str) -> list[dict[str, Any]]:
        response = self.http.get(f"/projects/{project}/run/{run}/attempts")
        assert response.status_code == 200, response.text
        return response.json()["attempts"]

    def log(self, project: str, run: str, number: int) -> list[dict[str, Any]]:
        response = self.http.get(f"/projects/{project}/run/{run}/attempts/{number}/log")
        assert response.status_code == 200, response.text
        return [json.loads(line) for line in response.text.splitlines()]

    def wait(self, path: str) -> dict[str, Any]:
        """Polls a result until it is final."""
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while True:
            response = self.http.get(path)
            assert response.status_code == 200, response.text
            answer = response.json()
            if answer["status"] not in UNFINISHED:
                return answer
            assert time.monotonic() < deadline, f"{path} stays {answer}; the log ends:\n{self.log_path.read_text()[-3000:]}"
            time.sleep(0.02)
