"""What every acceptance program does alike: two sizes, a seed, one JSON line on stdout, and an exit code that tells.

A program is a module `accept.a<NN>_<name>` with `if __name__ == "__main__": main("A<NN>", measure)`. `measure` is given the
size, the seed and a `Report` to write into; whatever else it prints goes to stderr. A violation is a broken promise in one
sentence for people; the program goes on after one, so that a long run tells all it saw. An exception is a failure of the
program, not a figure: then no line is printed at all.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any, Literal

Size = Literal["quick", "long"]

# Violations that are told in words; all of them are counted.
MAX_TOLD = 20


@dataclass
class Report:
    """What a program found out so far."""

    id: str
    size: Size
    seed: int
    # What was tried: kills, cuts, attempts, whatever the program's figure counts.
    n: int = 0
    violations: list[str] = field(default_factory=list)
    # Of the one quantity that p50, p99 and max are given of, in milliseconds; `measured` names it.
    samples_ms: list[float] = field(default_factory=list)
    measured: str = ""
    # Further figures of the program's own, by name with unit.
    figures: dict[str, Any] = field(default_factory=dict)

    def violated(self, what: str) -> None:
        """Notes a broken promise and says so at once."""
        self.violations.append(what)
        self.say(f"VIOLATION: {what}")

    def require(self, holds: bool, what: str) -> bool:
        """Notes a broken promise unless it holds; whether it does."""
        if not holds:
            self.violated(what)
        return holds

    def say(self, what: str) -> None:
        """Tells somebody who watches how it goes on."""
        print(f"{time.strftime('%H:%M:%S')} {self.id} {what}", file=sys.stderr, flush=True)

    def line(self) -> str:
        """The one line."""
        ordered = sorted(self.samples_ms)
        fields = {
            "id": self.id,
            "size": self.size,
            "seed": self.seed,
            "n": self.n,
            "violations": len(self.violations),
            "p50": percentile(ordered, 0.50),
            "p99": percentile(ordered, 0.99),
            "max": percentile(ordered, 1.0),
            "measured": f"{self.measured}, ms" if self.measured else "",
            **self.figures,
            "broken": self.violations[:MAX_TOLD],
        }
        return json.dumps(fields)


def percentile(ordered: list[float], share: float) -> float | None:
    """The smallest value that `share` of an ordered list does not exceed; nothing of nothing."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 1)


def main(name: str, measure: Callable[[Report], None]) -> None:
    """Runs one program with the arguments of this process, and ends the process."""
    parser = argparse.ArgumentParser(description=measure.__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="size", const="quick", default="quick")
    size.add_argument("--long", action="store_const", dest="size", const="long")
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    report = Report(name, arguments.size, seed)
    report.say(f"{arguments.size}, seed {seed}")
    stdout = sys.stdout
    with redirect_stdout(sys.stderr):
        measure(report)
    print(report.line(), file=stdout, flush=True)
    sys.exit(1 if report.violations else 0)
