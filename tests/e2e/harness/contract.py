"""Holds every answer against `contract/openapi.yaml`.

An answer on a path of the contract must have a status that the contract names and a body that its schema accepts.
Errors have one shape on every path. Used as a response hook of every HTTP client in these tests.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

CONTRACT = Path(__file__).parents[3] / "contract" / "openapi.yaml"
BASE = "/api/v1/workspace"
ERROR_MEMBERS = {"code", "category", "message", "retirable", "correlationId"}


@cache
def _document() -> dict[str, Any]:
    return yaml.safe_load(CONTRACT.read_text())


@cache
def _registry() -> Registry:
    return Registry().with_resource("urn:contract", Resource(contents=_document(), specification=DRAFT202012))


@cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    found = []
    for template in _document()["paths"]:
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        found.append((re.compile(f"^{BASE}{pattern}$"), template))
    # Literal segments beat parameters, so the template with fewer parameters is asked first.
    return sorted(found, key=lambda item: item[1].count("{"))


def _pointer(*parts: str) -> str:
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in parts)
    return "urn:contract#/" + "/".join(escaped)


@cache
def _validator(template: str, method: str, status: str) -> Draft202012Validator | None:
    operation = _document()["paths"][template][method]
    answer = operation["responses"][status]
    parts = ["paths", template, method, "responses", status]
    while "$ref" in answer:
        parts = answer["$ref"].removeprefix("#/").split("/")
        answer = _document()
        for part in parts:
            answer = answer[part]
    if "content" not in answer:
        return None
    reference = {"$ref": _pointer(*parts, "content", "application/json", "schema")}
    return Draft202012Validator(reference, registry=_registry())


def hold(response: httpx.Response) -> None:
    """Fails when the answer breaks the contract."""
    response.read()
    hold_read(response)


async def hold_async(response: httpx.Response) -> None:
    """The same, for an asynchronous client."""
    await response.aread()
    hold_read(response)


def hold_read(response: httpx.Response) -> None:
    request = response.request
    where = f"{request.method} {request.url.path} -> {response.status_code} {response.text[:600]}"
    if response.status_code >= 400:
        assert response.headers["content-type"].startswith("application/json"), where
        assert ERROR_MEMBERS <= set(response.json()), where
        assert response.status_code < 500 or response.headers.get("retry-after"), where
    raw_path = request.url.raw_path.decode().partition("?")[0]
    template = next((template for pattern, template in _paths() if pattern.match(raw_path)), None)
    method = request.method.lower()
    if template is None or method not in _document()["paths"][template]:
        return
    statuses = _document()["paths"][template][method]["responses"]
    status = str(response.status_code)
    if status not in statuses:
        assert response.status_code >= 400 and "default" in statuses, f"a status the contract does not name: {where}"
        status = "default"
    validator = _validator(template, method, status)
    if validator is None:
        assert response.content == b"", where
        return
    problems = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(response.json())]
    assert not problems, f"{where}\n" + "\n".join(problems)
