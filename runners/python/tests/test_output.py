"""What is JSON and what is not, by value; and how an exception is told."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import pytest
from keywright_runner.failure import NonRetryableError, of_user
from keywright_runner.output import MAX_DEPTH, InvalidOutput, to_plain
from pydantic import BaseModel, Field


class Model(BaseModel):
    name: str = Field(alias="fullName")
    when: datetime | None = None


class Number(int, Enum):
    ONE = 1


def nested(levels: int) -> list:
    value: list = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, 2), [1, 2]),
        ({1: "a", None: "b", True: "c", 1.5: "d"}, {"1": "c", "null": "b", "1.5": "d"}),
        (Number.ONE, 1),
        ([Model(fullName="x")], [{"fullName": "x", "when": None}]),
        (Model(fullName="x", when=datetime(2026, 1, 2)), {"fullName": "x", "when": "2026-01-02T00:00:00"}),
        (10**300, 10**300),
        (nested(MAX_DEPTH), nested(MAX_DEPTH)),
    ],
)
def test_what_json_can_say_is_said(value, plain):
    assert to_plain(value) == plain


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), [float("-inf")], {"a": {1, 2}}, b"bytes", datetime(2026, 1, 1), object(), 2**1024, {(1,): 1},
        {"\ud800": 1}, "\udfff", nested(MAX_DEPTH + 1),
    ],
)
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(InvalidOutput):
        to_plain(value)


def test_the_same_object_twice_is_no_cycle():
    shared = [1]
    assert to_plain({"a": shared, "b": shared}) == {"a": [1], "b": [1]}


def test_an_exception_whose_text_cannot_be_read_is_still_told():
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError

    told = of_user(Broken(), None)
    assert told["name"] == "Broken" and told["retryable"] is True


def test_a_subclass_of_the_non_retryable_error_is_not_retried():
    class Mine(NonRetryableError):
        pass

    assert of_user(Mine("\ud800 never"), None) == {
        "code": "user-error", "message": "? never", "name": "Mine", "retryable": False,
        "stack": of_user(Mine("\ud800 never"), None)["stack"],
    }


def test_a_message_of_any_length_fits_a_frame():
    told = of_user(ValueError("ä" * 10_000_000), None)
    assert len(told["message"].encode()) <= 64 * 1024 and len(told["stack"].encode()) <= 64 * 1024
