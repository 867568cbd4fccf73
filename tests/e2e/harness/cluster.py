"""Several nodes over one PostgreSQL, each behind a wire of its own that can break, with one folder of blobs and one key.

Nodes have data folders of their own, as on machines of their own. They know nothing of each other but what is in the
database.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from .journal import Journal
from .postgres import Postgres
from .proxy import FaultProxy
from .server import BINARY, Server
from .stub import StubServer

# How long a node may take until it says that it can be used.
MAX_READY_SECONDS = 60


@dataclass(frozen=True)
class Terms:
    """The times that leases live by, milliseconds."""

    beat_ms: int
    fence_ms: int
    ttl_ms: int
    sweep_ms: int

    def options(self) -> list[str]:
        return ["--lease-beat-ms", str(self.beat_ms), "--lease-fence-ms", str(self.fence_ms),
                "--lease-ttl-ms", str(self.ttl_ms), "--lease-sweep-ms", str(self.sweep_ms)]


PRODUCTION = Terms(beat_ms=5_000, fence_ms=25_000, ttl_ms=30_000, sweep_ms=5_000)
COMPRESSED = Terms(beat_ms=400, fence_ms=1_600, ttl_ms=2_000, sweep_ms=400)


def node_options(folder: Path, number: int, url: str) -> list[str]:
    """What makes a server one of several: a database, a key and blobs that all of them share."""
    return ["--database-url", url, "--master-key-file", str(folder / "master.key"), "--blobs", str(folder / "blobs"),
            "--node-name", f"node-{number}"]


class Cluster:
    """The nodes, all of them with every role."""

    def __init__(self, folder: Path, postgres: Postgres, size: int, terms: Terms) -> None:
        self.folder = folder
        self.postgres = postgres
        self.terms = terms
        self.database = postgres.create_database()
        self.journal_path = folder / "journal"
        (folder / "blobs").mkdir()
        self.wires = [FaultProxy(postgres.port) for _ in range(size)]
        self.nodes: list[StubServer] = []
        for number in range(size):
            self.nodes.append(self._start(number))
        self.nodes[0].deploy_stubs()

    def _start(self, number: int) -> StubServer:
        options = node_options(self.folder, number, self.postgres.url(self.database, self.wires[number].port))
        first: Server | None = self.nodes[0] if self.nodes else None
        return StubServer(self.folder / f"node-{number}", self.journal_path, *options, *self.terms.options(), like=first)

    def up(self) -> list[StubServer]:
        """The nodes whose processes run."""
        return [node for node in self.nodes if node.process.poll() is None]

    def wait_until_ready(self, number: int) -> float:
        """Waits until a node says that it can be used; how long that took, seconds."""
        began = time.monotonic()
        while True:
            response = httpx.get(f"{self.nodes[number].url}/health/ready", timeout=10)
            if response.status_code == 200:
                return time.monotonic() - began
            assert time.monotonic() - began < MAX_READY_SECONDS, (
                f"node {number} is not ready: {response.text}\n{self.nodes[number].log_path.read_text()[-3000:]}")
            time.sleep(0.05)

    def journal(self) -> Journal:
        """What all nodes started so far."""
        deaths = {process: at for node in self.nodes for process, at in node.deaths.items()}
        pauses = [pause for node in self.nodes for pause in node.pauses]
        return Journal(self.journal_path, deaths=deaths, pauses=pauses)

    def verify(self) -> subprocess.CompletedProcess[str]:
        """`keywright verify` on the live database, past every wire."""
        command = [BINARY, "verify", "--data-dir", str(self.folder / "node-0"), "--database-url",
                   self.postgres.url(self.database), "--master-key-file", str(self.folder / "master.key"),
                   "--blobs", str(self.folder / "blobs")]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def close(self) -> list[int]:
        """Ends the nodes in order; their exit codes."""
        for wire in self.wires:
            wire.heal()
        codes = [node.stop() for node in self.up()]
        for wire in self.wires:
            wire.close()
        return codes
