"""The worker's side of the wire, for tests: starts the real runner and speaks the protocol to it."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[1] / "src"
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
FIXTURES = EXAMPLES / "fixtures"
HEADLESS_SHELL = "/usr/bin/chromium-headless-shell"
SECONDS = 30

BROWSER = {
    "executablePath": HEADLESS_SHELL,
    "args": [],
    "headless": True,
    "sandbox": os.geteuid() != 0,  # Chromium refuses its sandbox to root
    "debuggingPort": True,
    "ignoreHttpsErrors": False,
    "width": 1024,
    "height": 800,
}


@dataclass
class Report:
    """Everything an attempt sent."""

    done: dict[str, Any]
    idle: dict[str, Any]
    messages: list[dict[str, Any]]
    payloads: list[dict[str, Any]] = field(default_factory=list)

    @property
    def error(self) -> dict[str, Any]:
        assert self.done["ok"] is False, self.done
        return self.done["error"]

    @property
    def result(self) -> Any:
        assert self.done["ok"] is True, self.done
        return self.done["result"]

    def lines(self, stream: str | None = None) -> list[str]:
        logs = [message for message in self.messages if message["type"] == "log"]
        return [log["message"] for log in logs if stream in (None, log["stream"])]

    def count(self, kind: str) -> int:
        return sum(message["type"] == kind for message in self.messages)


class Worker:
    """One runner process and its connection."""

    def __init__(self, slot: Path, env: dict[str, str] | None = None) -> None:
        self.slot = slot
        slot.mkdir(parents=True, exist_ok=True)
        self.values: dict[str, Any] = {}
        listener = socket.socket(socket.AF_UNIX)
        path = str(slot / "wire")
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(SECONDS)
        base = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(SOURCE),
            "PYTHONUNBUFFERED": "1",
            "KEYWRIGHT_SLOT_DIR": str(slot),
            "TMPDIR": str(slot),
            "HOME": str(slot),
            "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1",
        }
        self.output = open(slot / "output", "wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "keywright_runner", path],
            cwd=slot, env={**base, **(env or {})}, stdout=self.output, stderr=self.output, start_new_session=True,
        )
        self.socket, _ = listener.accept()
        listener.close()
        self.socket.settimeout(SECONDS)
        self.hello = self.receive()

    def send(self, type: str, **fields: Any) -> None:
        body = json.dumps({"type": type, **fields}).encode()
        self.send_raw(struct.pack(">I", len(body)) + body)

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> dict[str, Any]:
        (length,) = struct.unpack(">I", self._exactly(4))
        return json.loads(self._exactly(length).decode("utf-8"), parse_constant=lambda name: 1 / 0)

    def expect(self, type: str) -> dict[str, Any]:
        message = self.receive()
        assert message["type"] == type, message
        return message

    def warm(self, **changes: Any) -> dict[str, Any]:
        self.send("warm", browser={**BROWSER, **changes})
        return self.expect("ready")

    def bind(self, root: Path, **env: str) -> Worker:
        self.send("bind", root=str(root), env=env, isAuthEnabled=True)
        self.expect("bound")
        return self

    def start(self, function: str, parameters: Any = None, attempt_id: str = "a1", **fields: Any) -> None:
        start: dict[str, Any] = {
            "attemptId": attempt_id, "function": function, "timeoutMs": 60000, "session": None, "captureSession": False,
            "viewport": {"width": 1024, "height": 800}, "timezone": None, "locale": None, "ignoreHttpsErrors": False,
            "proxy": None, "trace": None, "context": {"runId": "run-1", "attemptNumber": 1}, "authParameters": None,
            "maxResultBytes": 2097152, **fields,
        }
        if parameters is not None:
            start["parameters"] = parameters
        self.send("start", **start)

    def finish(self) -> Report:
        """Take what an attempt sends, answering its calls, up to `idle`."""
        messages: list[dict[str, Any]] = []
        while True:
            message = self.receive()
            messages.append(message)
            if message["type"] == "call":
                self._answer(message)
            if message["type"] == "idle":
                done = next(one for one in messages if one["type"] == "done")
                payloads = [item for one in messages if one["type"] == "payloads" for item in one["items"]]
                return Report(done, message, messages, payloads)

    def run(self, function: str, parameters: Any = None, **fields: Any) -> Report:
        self.start(function, parameters, **fields)
        return self.finish()

    def until(self, type: str) -> dict[str, Any]:
        while True:
            message = self.receive()
            if message["type"] == type:
                return message

    def end(self) -> int:
        """The exit code; asserts that nothing of the slot lives on."""
        code = self.process.wait(SECONDS)
        assert self.survivors() == []
        return code

    def survivors(self) -> list[str]:
        """Processes that mention the slot's folder in their command or environment."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                if command and str(self.slot).encode() in command + (entry / "environ").read_bytes():
                    found.append(command.replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue
        return found

    def close(self) -> None:
        """EOF, and the end that must follow it."""
        self.socket.close()
        try:
            self.process.wait(SECONDS)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.output.close()

    def _answer(self, call: dict[str, Any]) -> None:
        params = call["params"]
        reply: dict[str, Any] = {"attemptId": call["attemptId"], "callId": call["callId"], "ok": True}
        if call["method"] == "kv.get":
            found = params["key"] in self.values
            reply["value"] = {"found": found, **({"value": self.values[params["key"]]} if found else {})}
        elif call["method"] == "kv.set":
            self.values[params["key"]] = params["value"]
            reply["value"] = {}
        else:
            reply.update(ok=False, error={"code": "unknown", "message": f"no {call['method']} here"})
        self.send("reply", **reply)

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self.socket.recv(length - len(data))
            if not part:
                raise EOFError(f"the runner is gone: {self.process.wait(SECONDS)}\n{(self.slot / 'output').read_text()}")
            data += part
        return data
