"""Ten seconds after an attempt with a real browser has ended, nothing of it is left, however it ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from accept.a08_hygiene import ENDINGS, SERVER_KILLED, Hygiene


@pytest.fixture(scope="module")
def hygiene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hygiene]:
    hygiene = Hygiene(tmp_path_factory.mktemp("hygiene"), fail)
    yield hygiene
    hygiene.finish()


def fail(what: str) -> None:
    pytest.fail(what)


# The languages take turns; the acceptance programme tries every ending in both.
@pytest.mark.parametrize(
    ("project", "ending"),
    [(("probe-ts", "probe-py")[n % 2], ending) for n, ending in enumerate(sorted(ENDINGS, key=lambda one: one == SERVER_KILLED))],
)
def test_nothing_is_left_of_an_attempt_that(hygiene: Hygiene, project: str, ending: str) -> None:
    hygiene.attempt(project, ending, f"mark-{project}-{ending.replace(' ', '-')}")
