"""What an API server does with an object by its CRD: prunes nulls, fills in defaults, checks, runs CEL.

Stands in for one where there is none; the tests of the cluster tier hold the real one to the same table.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import cel
from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from jobrun_operator.api.schema import Schema, object_schema

# To JSON Schema 5.0 is an integer, to an API server it is not.
_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int),
)


def refusals(manifest: dict[str, Any]) -> list[str]:
    """Why an API server with strict field validation would refuse ``manifest``; empty: it would not."""
    schema = _schema()
    value = with_defaults(without_nulls(copy.deepcopy(manifest), schema), schema)
    unknown = list(_unknown(value, schema, ""))
    broken = [f"{error.json_path}: {error.message}" for error in _Validator(schema).iter_errors(value)]
    # An API server runs no rules on an object whose structure is wrong.
    return unknown or broken or list(_broken_rules(value, schema, ""))


@cache
def _schema() -> Schema:
    """That of the CRD, with what every API server knows of metadata."""
    schema = object_schema()
    metadata = schema["properties"]["metadata"]
    metadata["required"] = ["name"]
    metadata["properties"]["annotations"] = {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "x-kubernetes-preserve-unknown-fields": True,
    }
    metadata["x-kubernetes-preserve-unknown-fields"] = True
    return schema


def without_nulls(value: Any, schema: Schema) -> Any:
    """``value`` without the fields that are null: none of ours is nullable."""
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return {
            name: without_nulls(inner, known.get(name, {}))
            for name, inner in value.items()
            if inner is not None or name not in known
        }
    if isinstance(value, list):
        return [without_nulls(entry, schema.get("items", {})) for entry in value]
    return value


def with_defaults(value: Any, schema: Schema) -> Any:
    """``value`` with the defaults of fields that are not there."""
    if isinstance(value, dict):
        for name, field in schema.get("properties", {}).items():
            if name not in value and "default" in field:
                value[name] = copy.deepcopy(field["default"])
            if name in value:
                with_defaults(value[name], field)
    elif isinstance(value, list):
        for entry in value:
            with_defaults(entry, schema.get("items", {}))
    return value


def _unknown(value: Any, schema: Schema, path: str) -> Iterator[str]:
    for at, inner, field in _inside(value, schema, path):
        if field is None:
            if not schema.get("x-kubernetes-preserve-unknown-fields"):
                yield f"{at}: unknown field"
        else:
            yield from _unknown(inner, field, at)


def _broken_rules(value: Any, schema: Schema, path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"] and not _program(rule["rule"]).execute({"self": value}):
            yield f"{path}{rule.get('fieldPath', '')}: {rule['message']}"
    for at, inner, field in _inside(value, schema, path):
        if field is not None:
            yield from _broken_rules(inner, field, at)


def _inside(value: Any, schema: Schema, path: str) -> Iterator[tuple[str, Any, Schema | None]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}.{name}", inner, schema.get("properties", {}).get(name)
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            yield f"{path}[{position}]", entry, schema.get("items", {})


@cache
def _program(rule: str) -> cel.Program:
    return cel.compile(rule)
