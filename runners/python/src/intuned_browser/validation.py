"""validate_data_using_schema: data against a JSON Schema (draft 7) with the additional type `attachment`.

Nothing is changed in the caller's data. `format` is not enforced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# How far `$ref`s are followed when looking for what a schema says about a property.
MAX_REFERENCES = 50

NULLABLE_TEXT = {"type": ["string", "null"]}
ATTACHMENT = {
    "type": "object",
    "required": ["file_name", "key", "suggested_file_name"],
    "properties": {
        "file_name": {"type": "string"},
        "key": {"type": "string"},
        "suggested_file_name": {"type": "string"},
        "file_type": {"enum": ["document"]},
        "bucket": NULLABLE_TEXT,
        "region": NULLABLE_TEXT,
        "endpoint": NULLABLE_TEXT,
    },
}


class ValidationError(Exception):
    """The data does not fit the schema. `data` is the data as plain records."""

    def __init__(self, message: str, data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


def validate_data_using_schema(data: Any, schema: dict[str, Any]) -> None:
    """Raise ValidationError, with one line for each problem, when the data does not fit.

    None counts as absent for properties that are not required, and is dropped from lists. A type the validator does
    not know raises the validator's own exception.
    """
    # Imported here: only those pay for the validator who use it.
    from jsonschema import Draft7Validator

    plain = _plain(data)
    expanded = _with_attachments(schema)
    checked = _without_absent(plain, [expanded], expanded)
    errors = sorted(Draft7Validator(expanded).iter_errors(checked), key=lambda error: [str(part) for part in error.path])
    if errors:
        lines = [f"{'.'.join(map(str, error.path)) or 'root'}: {error.message}" for error in errors]
        count = f"{len(errors)} problem{'' if len(errors) == 1 else 's'}"
        raise ValidationError("\n".join([f"the data does not fit the schema, {count}:", *lines]), plain)


def _plain(value: Any) -> Any:
    """Models as the records they dump to."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if callable(getattr(type(value), "model_dump", None)):
        return value.model_dump(mode="json")
    return value


def _with_attachments(schema: Any) -> Any:
    """The schema with the type `attachment`, in any case and anywhere, replaced by what it stands for."""
    if isinstance(schema, list):
        return [_with_attachments(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    rest = {key: _with_attachments(value) for key, value in schema.items() if key != "type"}
    if _is_attachment(kind):
        return {**rest, "allOf": [*rest.get("allOf", []), ATTACHMENT]}
    if isinstance(kind, list) and any(map(_is_attachment, kind)):
        others = [name for name in kind if not _is_attachment(name)]
        choice = {"oneOf": [ATTACHMENT, *([{"type": others}] if others else [])]}
        return {**rest, "allOf": [*rest.get("allOf", []), choice]}
    # A property may well be called "type"; then its value is a schema.
    return rest if "type" not in schema else {**rest, "type": _with_attachments(kind)}


def _is_attachment(kind: Any) -> bool:
    return isinstance(kind, str) and kind.lower() == "attachment"


def _without_absent(value: Any, schemas: list[dict[str, Any]], root: Any) -> Any:
    """The data without None where the schemas that apply to it do not require a value."""
    facets = list(_facets(schemas, root))
    if isinstance(value, dict):
        required = {name for facet in facets for name in facet.get("required", [])}
        return {
            key: _without_absent(item, list(_of_property(facets, key)), root)
            for key, item in value.items()
            if item is not None or key in required
        }
    if isinstance(value, list):
        return [
            _without_absent(item, list(_of_items(facets, index)), root)
            for index, item in enumerate(value)
            if item is not None
        ]
    return value


def _facets(schemas: Iterable[Any], root: Any) -> Iterable[dict[str, Any]]:
    """Each schema, what it refers to, and the branches it combines."""
    left, followed = list(schemas), 0
    while left:
        schema = left.pop()
        if not isinstance(schema, dict):
            continue
        yield schema
        for keyword in ("allOf", "anyOf", "oneOf"):
            left.extend(schema.get(keyword, []))
        reference = schema.get("$ref")
        if isinstance(reference, str) and followed < MAX_REFERENCES:
            followed += 1
            left.append(_target(reference, root))


def _target(reference: str, root: Any) -> Any:
    """What a reference inside the schema points at; None for any other reference, which the validator reports."""
    if not reference.startswith("#"):
        return None
    found = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _of_property(facets: Iterable[dict[str, Any]], key: Any) -> Iterable[Any]:
    for facet in facets:
        yield facet.get("properties", {}).get(key, facet.get("additionalProperties"))


def _of_items(facets: Iterable[dict[str, Any]], index: int) -> Iterable[Any]:
    for facet in facets:
        items = facet.get("items")
        if isinstance(items, list):
            yield items[index] if index < len(items) else facet.get("additionalItems")
        else:
            yield items
