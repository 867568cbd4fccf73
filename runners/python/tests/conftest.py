"""The real parts the tests stand on: runner processes, the example site, throw-away projects."""

from __future__ import annotations

import json
import subprocess
import textwrap
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from worker import EXAMPLES, FIXTURES, Report, Worker


@pytest.fixture
def new_worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts runners; all of them have ended when the test has."""
    started: list[Worker] = []

    def start(**env: str) -> Worker:
        started.append(Worker(tmp_path / f"slot{len(started)}", env))
        return started[-1]

    yield start
    for worker in started:
        worker.close()


@pytest.fixture
def warm_worker(new_worker: Callable[..., Worker]) -> Worker:
    """A runner of this test alone, with its browser."""
    worker = new_worker()
    worker.warm()
    return worker


@pytest.fixture(scope="module")
def unruly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One runner bound to the unruly project, for the attempts that leave it usable."""
    worker = Worker(tmp_path_factory.mktemp("unruly") / "slot")
    worker.warm()
    yield worker.bind(FIXTURES / "unruly-py")
    worker.close()


class Scratch:
    """One runner bound to a project that grows: modules are loaded at their first use."""

    def __init__(self, worker: Worker, root: Path) -> None:
        self.worker = worker
        self._root = root
        self._count = 0

    def run(self, source: str, parameters: Any = None, **fields: Any) -> Report:
        """Run the source of an API."""
        self._count += 1
        name = f"api/n{self._count}"
        path = self._root / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return self.worker.run(name, parameters, **fields)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scratch]:
    """For small sources that leave their runner usable."""
    folder = tmp_path_factory.mktemp("scratch")
    worker = Worker(folder / "slot")
    worker.warm()
    (folder / "project").mkdir()
    yield Scratch(worker.bind(folder / "project", MINE="yes"), folder / "project")
    worker.close()


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Writes a project: `project({"api/x.py": source})`."""

    def write(files: dict[str, str]) -> Path:
        root = tmp_path / "project"
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return root

    return write


class Site:
    """The example site and its knobs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def control(self, name: str, **body: Any) -> Any:
        request = urllib.request.Request(f"{self.url}/__control/{name}", json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def state(self) -> Any:
        with urllib.request.urlopen(f"{self.url}/__control/state", timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The running site."""
    server = str(EXAMPLES / "site" / "server.mjs")
    process = subprocess.Popen(["node", server, "--port", "0"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    yield Site(json.loads(process.stdout.readline())["url"])
    process.terminate()
    process.wait(10)
