"""What the servers' stub executors started, as they wrote it down, and the promises that can be read off it.

The journal is outside every server and database: it knows nothing of what should have happened, only of what did.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# A canceled attempt is dead within this time, and so is one whose worker does not believe in itself any more.
MAX_DYING_US = 10_000_000
LOGIN_STAGES = ("check", "create", "post-check")
# Of violations of one kind, so many are told.
Note = Callable[[str], None]


@dataclass
class Span:
    """One attempt that was started."""

    run: str
    number: int
    stage: str
    session: str | None
    process: int
    started_us: int
    # How it ended: succeeded, failed or aborted; nothing when its process died or it still runs.
    end: str | None = None
    ended_us: int | None = None


class Journal:
    """The spans of all attempts, in the order of their starts."""

    def __init__(self, *paths: Path, deaths: Mapping[int, int], pauses: Iterable[tuple[int, int, int]] = ()) -> None:
        """`deaths`: when a process was certainly dead. `pauses`: process, and the times during which it was stopped."""
        self.spans: list[Span] = []
        self.starts_twice: list[str] = []
        self._deaths = deaths
        self._pauses = list(pauses)
        lines = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
        open_spans: dict[tuple[str, int, int], Span] = {}
        seen: set[tuple[str, int]] = set()
        # A start and its end are written by one process in this order, so sorting by moment keeps them apart.
        for line in sorted(lines, key=lambda line: (line["atUs"], line["event"] != "start")):
            attempt = (line["run"], line["number"], line["process"])
            if line["event"] == "start":
                if attempt[:2] in seen:
                    self.starts_twice.append(f"{line['run']}/{line['number']}")
                seen.add(attempt[:2])
                span = Span(line["run"], line["number"], line["stage"], line["session"], line["process"], line["atUs"])
                open_spans[attempt] = span
                self.spans.append(span)
            else:
                span = open_spans.pop(attempt, None)
                if span is not None:
                    span.end, span.ended_us = line["event"], line["atUs"]

    def of_run(self, run: str) -> list[Span]:
        return self._by_run().get(run, [])

    def _by_run(self) -> dict[str, list[Span]]:
        if not hasattr(self, "_runs"):
            self._runs: dict[str, list[Span]] = defaultdict(list)
            for span in self.spans:
                self._runs[span.run].append(span)
        return self._runs

    def over_us(self, span: Span) -> int | None:
        """When the attempt was certainly over; nothing while it runs."""
        return span.ended_us if span.ended_us is not None else self._deaths.get(span.process)

    def was_paused(self, span: Span) -> bool:
        """Whether its process was stopped in its tracks while it ran."""
        end = self.over_us(span)
        return any(process == span.process and start < (end or stop) and stop > span.started_us
                   for process, start, stop in self._pauses)

    def check_attempts_start_once(self, violated: Note) -> None:
        """Every attempt is started at most once, by whomever."""
        for attempt in self.starts_twice:
            violated(f"attempt {attempt} was started twice")

    def check_one_at_a_time(self, violated: Note) -> int:
        """No two attempts of one run at a time, whoever makes them: a worker that may be given up has ended its own before.

        A process that was stopped in its tracks could not; returns how often that happened.
        """
        overlaps = 0
        for run, spans in self._by_run().items():
            for earlier, later in zip(spans, spans[1:], strict=False):
                over = self.over_us(earlier)
                if over is not None and over <= later.started_us:
                    continue
                if self.was_paused(earlier):
                    overlaps += 1
                else:
                    violated(f"{run}/{later.number} started while attempt {earlier.number} was under way elsewhere")
        return overlaps

    def check_budget(self, run: str, budgets: Mapping[str, int], violated: Note) -> None:
        """I2: user code starts at most as often as the run's budgets say."""
        starts: dict[str, int] = defaultdict(int)
        for span in self.of_run(run):
            starts[span.stage] += 1
        for stage, count in starts.items():
            if count > budgets.get(stage, 0):
                violated(f"{run}: {count} starts of stage {stage}, and {budgets.get(stage, 0)} are the most")

    def check_dead_after_cancel(self, run: str, answered_us: int, violated: Note) -> None:
        """P4: what ran when a cancellation was answered is dead within ten seconds. A stopped process kills nothing."""
        for span in self.of_run(run):
            over = self.over_us(span)
            if (over is None or over > answered_us + MAX_DYING_US) and not self.was_paused(span):
                violated(f"{run}/{span.number} was not dead {MAX_DYING_US // 1_000_000} s after its cancellation was answered")

    def check_single_flight(self, excused: Callable[[Span], bool], violated: Note) -> int:
        """I9: no two login attempts of one session at a time.

        Between a cancellation, or the loss of a worker, and the death of the attempt it ends, the session is free already:
        such attempts are `excused` for as long as they may take to die. Returns how often that happened.
        """
        overlaps = 0
        by_session: dict[str, list[Span]] = defaultdict(list)
        for span in self.spans:
            if span.session is not None and span.stage in LOGIN_STAGES:
                by_session[span.session].append(span)
        for session, spans in by_session.items():
            for earlier, later in zip(spans, spans[1:], strict=False):
                over = self.over_us(earlier)
                if over is not None and over <= later.started_us:
                    continue
                if excused(earlier) or self.was_paused(earlier):
                    overlaps += 1
                else:
                    violated(f"session {session}: {later.stage} of {later.run}/{later.number} started while "
                             f"{earlier.stage} of {earlier.run}/{earlier.number} was under way")
        return overlaps
