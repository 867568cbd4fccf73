"""The example site as a child process, with its knobs and counters."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[3]


class Site:
    """A running site; counters are per user, so tests that use users of their own do not disturb each other."""

    def __init__(self, *arguments: str) -> None:
        command = ["node", str(ROOT / "examples/site/server.mjs"), "--port", "0", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self.url: str = ready["url"]
        self.proxy_url: str | None = ready.get("proxyUrl")
        self._http = httpx.Client(base_url=self.url, timeout=30)

    def control(self, name: str, /, **body: Any) -> dict[str, Any]:
        response = self._http.post(f"/__control/{name}", json=body)
        response.raise_for_status()
        return response.json()

    def state(self) -> dict[str, Any]:
        return self._http.get("/__control/state").json()

    def wait_until_held(self, path: str) -> None:
        """Waits until a request has arrived at a path that is held."""
        deadline = time.monotonic() + 60
        while not self.state()["holding"].get(path):
            assert time.monotonic() < deadline, f"nobody asked for {path}"
            time.sleep(0.02)

    def add_user(self, username: str, password: str) -> None:
        self.control("users", username=username, password=password, name=username.title())

    def seen(self, username: str) -> dict[str, Any]:
        """What the site saw of a user: loginsAttempted, loginsSucceeded, checksPassed, hits, …"""
        return self.state()["users"][username]

    def close(self) -> None:
        self._http.close()
        self._process.terminate()
        self._process.wait(10)
