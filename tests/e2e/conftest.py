"""One site and one server for most tests; each test uses users and sessions of its own, so none disturbs another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from harness.postgres import Postgres
from harness.server import Server
from harness.site import Site

_numbers = itertools.count(1)


@dataclass
class Login:
    """A user of the site and the input of a login as that user."""

    username: str
    password: str
    parameters: dict[str, Any]


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    site = Site("--proxy-port", "0")
    yield site
    site.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("shared") / "data")
    for folder in ("examples/shop-ts", "examples/shop-py", "examples/fixtures/login-lab-ts", "examples/fixtures/unruly-ts",
                   "examples/fixtures/unruly-py"):
        server.deploy(folder)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for all tests that want one; each makes a database of its own in it."""
    postgres = Postgres()
    yield postgres
    postgres.close()


@pytest.fixture
def login(site: Site) -> Login:
    """A user nobody else uses."""
    return make_login(site)


def make_login(site: Site, **extra: Any) -> Login:
    number = next(_numbers)
    username, password = f"user{number}", f"pass-word-{number}-é&%"
    site.add_user(username, password)
    return Login(username, password, {"username": username, "password": password, "baseUrl": site.url, **extra})
