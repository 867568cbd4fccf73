"""A runner that speaks the protocol and misbehaves as its attempt's parameters say.

Started exactly as the real one, `python -m keywright_runner <socket>`. It launches no browser.
`{"do": <name>}` picks what it does; every name is a row of a table in slots.rs.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

MAX_FRAME_BYTES = 16 * 1024 * 1024


def main() -> None:
    if Path(__file__).with_name("hang-before-hello").exists():
        Path("hanging").touch()
        signal.pause()
    link = socket.socket(socket.AF_UNIX)
    link.connect(sys.argv[1])
    Runner(link).serve()


class Runner:
    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.attempt = ""
        self.calls = 0

    def serve(self) -> None:
        self.send(type="hello", protocol=1, language="python", languageVersion="3", playwrightVersion="0", pid=os.getpid())
        while True:
            message = self.receive()
            kind = message["type"]
            if kind == "warm":
                self.send(type="ready", browserVersion="0", userAgent="none", cdpUrl=None)
            elif kind == "bind":
                self.send(type="bound")
            elif kind == "start":
                self.attempt = message["attemptId"]
                self.execute(message)
            elif kind == "shutdown":
                os._exit(0)

    def execute(self, start: dict) -> None:
        parameters = start.get("parameters") or {}
        what = parameters["do"].replace("-", "_")
        if not what.startswith("before_"):
            self.send(type="running", attemptId=self.attempt)
        result = getattr(self, what)(parameters)
        self.done({"did": parameters["do"], "pid": os.getpid(), "folder": os.getcwd(), "is": result})
        self.send(type="idle", attemptId=self.attempt, reusable=True)

    # What it can do wrong, and right.

    def well(self, _: dict) -> None:
        pass

    def throw(self, parameters: dict) -> None:
        self.fail("user-error", f"the password {parameters.get('secret')} is wrong")

    def hang(self, _: dict) -> None:
        self.tell_that_user_code_runs()
        sleep_on()

    def ignore_term(self, _: dict) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.hang({})

    def obey_abort(self, _: dict) -> None:
        self.tell_that_user_code_runs()
        while self.receive()["type"] != "abort":
            pass
        self.fail("aborted", "as asked")

    def late_success(self, _: dict) -> None:
        while self.receive()["type"] != "abort":
            pass

    def extend(self, _: dict) -> None:
        for _ in range(4):
            time.sleep(0.5)
            self.send(type="extend", attemptId=self.attempt)

    def grandchild(self, _: dict) -> None:
        daemonise()

    def leak_pipe(self, _: dict) -> None:
        daemonise()
        os._exit(3)

    def flood_stdout(self, _: dict) -> None:
        chunk = b"flood\n" * 10_000
        for _ in range(500):
            os.write(1, chunk)

    def flood_logs(self, _: dict) -> None:
        for _ in range(300):
            self.log("x" * 60_000)

    def talk(self, parameters: dict) -> None:
        self.log(f"typed {parameters['secret']}")
        os.write(2, f"native {parameters['secret']}\n".encode())

    def half_frame(self, _: dict) -> None:
        self.link.sendall(struct.pack(">I", 1000) + b'{"type":')
        os._exit(0)

    def huge_frame(self, _: dict) -> None:
        self.link.sendall(struct.pack(">I", 17 * 1024 * 1024))
        sleep_on()

    def bad_json(self, _: dict) -> None:
        self.raw(b'{"type":"done"')

    def not_utf8(self, _: dict) -> None:
        self.raw(b'{"type":"\xff"}')

    def wrong_type(self, _: dict) -> None:
        self.send(type="dance", attemptId=self.attempt)

    def wrong_field(self, _: dict) -> None:
        self.send(type="done", attemptId=self.attempt, ok="yes")

    def foreign(self, _: dict) -> None:
        self.send(type="done", attemptId="another.1", ok=True, result=1)

    def running_twice(self, _: dict) -> None:
        self.send(type="running", attemptId=self.attempt)

    def done_twice(self, _: dict) -> None:
        self.done({"first": True, "pid": os.getpid()})

    def not_reusable(self, _: dict) -> None:
        self.done({"pid": os.getpid()})
        self.send(type="idle", attemptId=self.attempt, reusable=False, reason="a page would not close")
        sleep_on()

    def exit_0(self, _: dict) -> None:
        os._exit(0)

    def exit_3(self, _: dict) -> None:
        os._exit(3)

    def kill_self(self, _: dict) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def close_link(self, _: dict) -> None:
        self.link.shutdown(socket.SHUT_RDWR)
        sleep_on()

    def too_big(self, _: dict) -> str:
        return "x" * (3 * 1024 * 1024)

    def too_deep(self, _: dict) -> None:
        result = b"[" * 5_000 + b"]" * 5_000
        self.raw(b'{"type":"done","attemptId":"%s","ok":true,"result":%s}' % (self.attempt.encode(), result))
        sleep_on()

    def nan(self, _: dict) -> None:
        self.raw(b'{"type":"done","attemptId":"%s","ok":true,"result":NaN}' % self.attempt.encode())

    def no_result(self, _: dict) -> None:
        self.send(type="done", attemptId=self.attempt, ok=True)

    def payloads(self, parameters: dict) -> None:
        for _ in range(parameters["frames"]):
            items = [{"api": "orders", "parameters": {"page": page}} for page in range(parameters["each"])]
            self.send(type="payloads", attemptId=self.attempt, items=items)

    def before_slot_failed(self, _: dict) -> None:
        self.fail("slot-failed", "no context")

    def before_exit(self, _: dict) -> None:
        os._exit(1)

    def before_done(self, _: dict) -> None:
        self.done({})

    def call(self, parameters: dict) -> dict:
        if "write" in parameters:
            for name, text in parameters["write"].items():
                Path(name).write_text(text)
        for name, target in parameters.get("link", {}).items():
            Path(name).symlink_to(target)
        self.calls += 1
        self.send(type="call", attemptId=self.attempt, callId=self.calls, method=parameters["method"], params=parameters["params"])
        reply = self.receive()
        assert reply["callId"] == self.calls and reply["attemptId"] == self.attempt, reply
        return reply

    def many_calls(self, parameters: dict) -> int:
        for number in range(parameters["count"]):
            self.send(type="call", attemptId=self.attempt, callId=number, method="kv.get", params={"key": f"k{number}"})
        return len({self.receive()["callId"] for _ in range(parameters["count"])})

    def look_around(self, parameters: dict) -> dict:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return {
            "uid": os.getuid(),
            "variables": sorted(os.environ),
            "processes": len(pids),
            "reads": [path for path in parameters["paths"] if os.access(path, os.R_OK)],
        }

    def tell_that_user_code_runs(self) -> None:
        """An event that a test can wait for: a call whose answer nobody reads."""
        self.send(type="call", attemptId=self.attempt, callId=0, method="kv.get", params={"key": "user code runs"})

    # Words and frames.

    def log(self, message: str) -> None:
        self.send(type="log", attemptId=self.attempt, timeMs=0, level="info", stream="stdout", message=message)

    def done(self, result: object) -> None:
        self.send(type="done", attemptId=self.attempt, ok=True, result=result)

    def fail(self, code: str, message: str) -> None:
        error = {"code": code, "message": message, "name": "Error", "stack": f"Error: {message}\n  at line 1", "retryable": True}
        self.send(type="done", attemptId=self.attempt, ok=False, error=error)
        self.send(type="idle", attemptId=self.attempt, reusable=code == "user-error")
        self.serve_on()

    def serve_on(self) -> None:
        """Wait for the next message without ending the attempt a second time."""
        message = self.receive()
        if message["type"] == "start":
            self.attempt = message["attemptId"]
            self.execute(message)
        os._exit(0)

    def send(self, **message: object) -> None:
        self.raw(json.dumps(message).encode())

    def raw(self, body: bytes) -> None:
        self.link.sendall(struct.pack(">I", len(body)) + body)

    def receive(self) -> dict:
        (length,) = struct.unpack(">I", self.exactly(4))
        return json.loads(self.exactly(length))

    def exactly(self, length: int) -> bytes:
        parts = b""
        while len(parts) < length:
            part = self.link.recv(length - len(parts))
            if not part:
                os._exit(0)
            parts += part
        return parts


def sleep_on() -> None:
    while True:
        time.sleep(60)


def daemonise() -> None:
    """A process that left the session, has no parent and keeps every pipe open."""
    script = "import os,time\nif os.fork(): os._exit(0)\nos.setsid()\ntime.sleep(600)"
    subprocess.run([sys.executable, "-c", script], check=True, close_fds=False)


if __name__ == "__main__":
    main()
