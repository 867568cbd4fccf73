"""A server without runners whose system calls are on record, and a story that uses every writing route of its API."""

from __future__ import annotations

import io
import json
import random
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .exchanges import ask
from .processes import wait_until_none_mention
from .server import UNFINISHED
from .stub import LOGINS, PLAIN, StubServer, script
from .syscalls import Call, read, under_strace

# How long the recorder may take to write down the last of a process that has ended.
MAX_RECORDER_SECONDS = 30
MAX_POLLS = 2_000
# Rounds of one story that go on at the same time, so that the writer commits several answers at once.
AT_ONCE = 3


class RecordedServer(StubServer):
    """Each life of it writes one record, in `folder`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.records: list[Path] = []
        self._folder = folder
        super().__init__(folder / "data", folder / "journal", *arguments)

    def start(self, env: dict[str, str] | None = None) -> None:
        self.records.append(self._folder / f"record-{len(self.records)}")
        self._prefix = under_strace(self.records[-1])
        super().start(env=env)

    def calls(self) -> Iterator[list[Call]]:
        """What each life asked for. All of them must have ended."""
        for record in self.records:
            left = wait_until_none_mention(str(record), MAX_RECORDER_SECONDS)
            assert left == [], f"the recorder is still there: {left}"
            yield list(read(record))


class Story:
    """Does everything that writes, again and again, and remembers nothing: what was promised stands in the record."""

    def __init__(self, server: StubServer, seed: int) -> None:
        self._server = server
        self._dice = random.Random(seed)

    def tell(self, rounds: int) -> None:
        """So many rounds, one after the other, and then as many with several at once."""
        for name in (PLAIN, LOGINS):
            self._upload(name)
        numbers = [f"{self._dice.randrange(1 << 32):08x}" for _ in range(rounds)]
        for number in numbers:
            self._round(number)
        troubles: list[BaseException] = []

        def several(mine: list[str]) -> None:
            try:
                for number in mine:
                    self._round(f"{number}-b")
            except BaseException as trouble:  # noqa: BLE001 - told by the thread that waits
                troubles.append(trouble)

        threads = [threading.Thread(target=several, args=(numbers[n::AT_ONCE],)) for n in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if troubles:
            raise troubles[0]

    def ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """One request that must be answered well; the body of its answer."""
        base = f"/api/v1/workspace/{self._server.workspace_id}"
        status, answer = ask(self._server.url, method, base + path, self._server.api_key, body, content_type)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def _round(self, number: str) -> None:
        key = self.ask("POST", "/keys", {"name": f"key {number}"})
        started = [self._run(PLAIN) for _ in range(2)]
        hanging = self._run(PLAIN, **script(hangs=True))
        session = f"session-{number}"
        sessions = f"/projects/{LOGINS}/auth-sessions"
        operation = self.ask("POST", f"{sessions}/create", {"id": session, "parameters": script(sleep_ms=5)})["operationId"]
        self._result(f"{sessions}/create/{operation}/result")
        operation = self.ask("POST", f"{sessions}/{session}/update", {"parameters": script(sleep_ms=5)})["operationId"]
        self._result(f"{sessions}/{session}/update/{operation}/result")
        operation = self.ask("POST", f"{sessions}/{session}/validate/start", {})["operationId"]
        self._result(f"{sessions}/{session}/validate/{operation}/result")
        with_login = self._run(LOGINS, session)
        self.ask("POST", f"/projects/{PLAIN}/run/{hanging}/cancel")
        self._result(f"/projects/{LOGINS}/run/{with_login}/result")
        for run in started:
            self._result(f"/projects/{PLAIN}/run/{run}/result")
        self.ask("DELETE", f"{sessions}/{session}")
        self.ask("DELETE", f"/keys/{key['id']}")
        # A project of its own, whose active deployment nobody else changes.
        first, _ = self._upload(f"turns-{number}"), self._upload(f"turns-{number}")
        self.ask("POST", f"/projects/turns-{number}/deployments/{first}/activate")

    def _run(self, project: str, session: str | None = None, **parameters: Any) -> str:
        body: dict[str, Any] = {"api": "work", "parameters": parameters or script(sleep_ms=self._dice.randrange(10))}
        if session:
            body["authSession"] = {"id": session}
        return self.ask("POST", f"/projects/{project}/run/start", body)["runId"]

    def _result(self, path: str) -> Any:
        return self._until(path, lambda answer: answer["status"] not in UNFINISHED)

    def _upload(self, project: str) -> str:
        deployment = self.ask("PUT", f"/projects/{project}/deployments", _archive(project), "application/gzip")["id"]
        self._until(f"/projects/{project}/deployments/{deployment}", lambda answer: answer["status"] == "ready")
        return deployment

    def _until(self, path: str, holds: Any) -> Any:
        for _ in range(MAX_POLLS):
            answer = self.ask("GET", path)
            if holds(answer):
                return answer
            time.sleep(0.01)
        raise AssertionError(f"{path} stays {answer}")


def _archive(project: str) -> bytes:
    """A project that the stub builder takes."""
    settings = {
        "version": "2.0", "projectName": project, "apiAccess": {"enabled": True},
        "authSessions": {"enabled": project == LOGINS, "type": "API"}, "replication": {"maxConcurrentRequests": 8},
    }
    files = {"Intuned.json": json.dumps(settings), "package.json": "{}", "api/work.ts": "", "auth-sessions/create.ts": "",
             "auth-sessions/check.ts": ""}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()
