"""A8: ten seconds after an attempt with a real browser has ended, nothing of it is left, however it ended.

Each attempt leaves what it can: a child of its own, a port it listens on, files in every place it can write. Then it ends in
one of the ways below. The kernel bounds no slot's memory, so running out of memory is what the kernel's memory killer does
about it: the browser's processes, or the runner, are killed from outside. What a killed server leaves on the disk is removed
by its next start; its processes must be gone before that.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.leftovers import (
    Reports,
    Trail,
    browser_files,
    is_listening,
    left_of,
    processes_of,
    wait_until_nothing_is_left,
    write_probe,
    zombies,
)
from harness.processes import wait_until_none_mention
from harness.server import Server

from .program import Report, main

MAX_LEFT_SECONDS = 10
ATTEMPTS = {"quick": 60, "long": 2_000}
PROJECTS = ("probe-ts", "probe-py")
AT_ONCE = 2
Violated = Callable[[str], None]

# How an attempt ends, and the status that its run must then have.
RETURNS, THROWS, EXITS, TIMEOUT = "returns", "throws", "exits", "times out"
BROWSER_KILLED, RUNNER_KILLED, CANCELED, SERVER_KILLED = "browser killed", "runner killed", "canceled", "server killed"
ENDINGS = {
    RETURNS: "completed", THROWS: "failed", EXITS: "failed", TIMEOUT: "failed", BROWSER_KILLED: "failed",
    RUNNER_KILLED: "failed", CANCELED: "canceled", SERVER_KILLED: "failed",
}


class Hygiene:
    """A server with the probes, and what comes of their attempts."""

    def __init__(self, folder: Path, violated: Violated) -> None:
        self._violated = violated
        self._reports = Reports()
        self._browser_files = browser_files()
        self._number = 0
        self.server = Server(folder / "data", "--concurrency", str(AT_ONCE), "--shutdown-grace-s", "0")
        for name in PROJECTS:
            self.server.deploy(str(write_probe(folder / "projects", name, name.rpartition("-")[2], AT_ONCE)))

    def attempt(self, project: str, ending: str, mark: str) -> float:
        """One attempt that ends so; how long it took until nothing was left of it, seconds."""
        server = self.server
        body = {"parameters": {"mark": mark, "report": self._reports.url, "ending": ending}, "retry": {"maximumAttempts": 1}}
        if ending == TIMEOUT:
            body["requestTimeout"] = 3
        run = server.start_run(project, "ends", **body)
        trail = self._reports.trail(mark)
        match ending:
            case "canceled":
                response = server.post(f"/projects/{project}/run/{run}/cancel")
                assert response.status_code == 200, response.text
            case "browser killed":
                self._kill(trail, "chrom")
            case "runner killed":
                self._kill(trail, "node", "python")
            case "server killed":
                server.kill()
                return self._after_a_kill(project, run, trail)
            case _:
                pass
        result = server.run_result(project, run)
        where = f"{project} {ending}"
        if result["status"] != ENDINGS[ending]:
            self._violated(f"{where}: ends {result}")
        left, took = wait_until_nothing_is_left(server.data_dir, trail, MAX_LEFT_SECONDS)
        if left:
            self._violated(f"{where}: left after {MAX_LEFT_SECONDS} s: {left}")
        return took

    def _after_a_kill(self, project: str, run: str, trail: Trail) -> float:
        """The processes go with the server, without anybody's help; the rest goes with the next start."""
        began = time.monotonic()
        people = wait_until_none_mention(str(self.server.data_dir), MAX_LEFT_SECONDS)
        took = time.monotonic() - began
        if people:
            self._violated(f"{project} server killed: {people} outlived it by {MAX_LEFT_SECONDS} s")
        if is_listening(trail):
            self._violated(f"{project} server killed: its attempt still listens")
        self.server.start()
        left = left_of(self.server.data_dir, trail, is_slot_named_anew=True)
        if left:
            self._violated(f"{project} server killed: left after the next start: {left}")
        result = self.server.run_result(project, run)
        # Its one attempt had started, so it may not start again.
        if result["status"] != ENDINGS[SERVER_KILLED]:
            self._violated(f"{project} server killed: ends {result}")
        return took

    def _kill(self, trail: Trail, *programs: str) -> None:
        """Kills, as the memory killer would, every process of the slot that runs one of these programs."""
        victims = [pid for pid, path in processes_of(trail).items() if any(word in Path(path).name for word in programs)]
        if not victims:
            self._violated(f"no process of {trail.slot} runs any of {programs}: {processes_of(trail)}")
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it went with another one

    def finish(self) -> None:
        """Ends the server; nothing at all may be left then."""
        dead = zombies(self.server.process.pid)
        if dead:
            self._violated(f"zombies: {dead}")
        if self.server.stop() != 0:
            self._violated("the server did not end in order")
        people = wait_until_none_mention(str(self.server.data_dir), MAX_LEFT_SECONDS)
        if people:
            self._violated(f"outlived the server: {people}")
        for name in ("slots", "traces", "builds"):
            entries = sorted(path.name for path in (self.server.data_dir / name).iterdir())
            if entries:
                self._violated(f"{name}/ is not empty: {entries}")
        files = browser_files() - self._browser_files
        if files:
            self._violated(f"files in shared places: {sorted(files)}")
        self._reports.close()


def plan(count: int, dice: random.Random) -> list[tuple[str, str]]:
    """So many attempts, every ending as often as the others in both languages, in random order."""
    every = [(project, ending) for ending in ENDINGS for project in PROJECTS]
    chosen = [every[n % len(every)] for n in range(count)]
    dice.shuffle(chosen)
    return chosen


def measure(report: Report) -> None:
    """Ends real attempts in every way and looks for what is left."""
    report.measured = "from the end of a run to nothing left of its attempt"
    attempts = plan(ATTEMPTS[report.size], random.Random(report.seed))
    # A killed server takes everybody's attempts with it, so those are made one at a time.
    alone = [one for one in attempts if one[1] == SERVER_KILLED]
    together = [one for one in attempts if one[1] != SERVER_KILLED]
    with tempfile.TemporaryDirectory(prefix="kw-a08-") as folder:
        hygiene = Hygiene(Path(folder), report.violated)
        numbered = [(project, ending, f"mark-{report.seed:x}-{number}") for number, (project, ending) in enumerate(together + alone)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            times = list(pool.map(lambda one: hygiene.attempt(*one), numbered[: len(together)]))
        report.say(f"{len(times)} attempts, longest {max(times):.1f} s")
        times += [hygiene.attempt(*one) for one in numbered[len(together) :]]
        hygiene.finish()
    report.n = len(times)
    report.samples_ms += [seconds * 1_000 for seconds in times]
    report.figures["endings"] = {ending: sum(1 for _, other in attempts if other == ending) for ending in ENDINGS}


if __name__ == "__main__":
    main("A8", measure)
