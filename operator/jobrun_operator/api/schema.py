"""The CustomResourceDefinition, made from the models: what an API server needs to refuse what they refuse.

A CRD takes *structural* schemas only (no references, no ``anyOf`` with null, no ``const``), so what pydantic
renders is rewritten here. Rules across fields come with their CEL form from the models; see
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jobrun_operator.api.changes import TASKS_IMMUTABLE
from jobrun_operator.api.jobrun import GROUP, KIND, PLURAL, VERSION, JobRun

Schema = dict[str, Any]

_INT32_MAX = 2**31 - 1
_KEPT_AS_THEY_ARE = (
    "type",
    "enum",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
)

COLUMNS = (
    ("Phase", "string", ".status.phase", "Where the run stands."),
    ("Progress", "string", ".status.summary.progress", "Finished tasks of all tasks."),
    ("Failed", "integer", ".status.tasks.failed", "Dead letters."),
    ("Outstanding", "integer", ".status.tasks.outstanding", "Tasks released and not finished."),
    ("Workers", "string", ".status.summary.workers", "Ready and wanted workers."),
    ("Rate", "string", ".status.summary.rate", "Releases and asked rate."),
    ("Limited-By", "string", ".status.limitedBy", "Why no more tasks are released just now."),
    ("ETA", "string", ".status.summary.eta", "About how long the run will still take."),
    ("Age", "date", ".metadata.creationTimestamp", "Time since the run was created."),
)
"""What ``kubectl get jobruns`` prints: name, type, path and meaning of each column."""

_READY = '.status.conditions[?(@.type=="Ready")]'

WIDE_COLUMNS = (
    ("Reason", "string", f"{_READY}.reason", "Why the run is ready, or is not."),
    ("Message", "string", f"{_READY}.message", "The same in words."),
)
"""What ``kubectl get jobruns -o wide`` prints as well."""


def crd() -> Schema:
    """The CustomResourceDefinition ``jobruns.jobrun.dev``; the same at every call."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["jr"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        *_columns(COLUMNS, priority=0),
                        *_columns(WIDE_COLUMNS, priority=1),
                    ],
                    "schema": {"openAPIV3Schema": object_schema()},
                }
            ],
        },
    }


def _columns(columns: Iterable[tuple[str, str, str, str]], *, priority: int) -> list[Schema]:
    """Those with a priority above 0 are printed with ``-o wide`` only."""
    shown = {"priority": priority} if priority else {}
    return [
        {"name": name, "type": kind, "jsonPath": path, "description": meaning, **shown}
        for name, kind, path, meaning in columns
    ]


def object_schema() -> Schema:
    """The structural schema of a JobRun."""
    rendered = JobRun.model_json_schema(by_alias=True, mode="validation")
    schema = _structural(rendered, rendered["$defs"])
    fields = schema["properties"]
    name = fields["metadata"]["properties"]["name"]
    # The API server owns metadata; a CRD may only narrow the name, and has no place for descriptions in it.
    fields["metadata"] = {
        "type": "object",
        "properties": {"name": {key: name[key] for key in ("type", "maxLength", "pattern")}},
    }
    for known in ("apiVersion", "kind"):
        fields[known] = {"type": "string", "description": fields[known]["description"]}
    schema["required"] = ["metadata", "spec"]
    fields["spec"]["properties"][TASKS_IMMUTABLE.path]["x-kubernetes-validations"].append(
        {"rule": TASKS_IMMUTABLE.cel, "message": TASKS_IMMUTABLE.message}
    )
    _drop_defaults(fields["status"])
    return schema


def _structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """``schema`` without references, null and titles; what a field says wins over what its type says."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return _structural(
            {**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions
        )
    if "anyOf" in schema:
        (present,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
        return _structural(
            {**present, **{key: value for key, value in schema.items() if key != "anyOf"}}, definitions
        )

    result: Schema = {}
    if "description" in schema:
        result["description"] = " ".join(schema["description"].split())
    result.update((key, schema[key]) for key in _KEPT_AS_THEY_ARE if key in schema)
    if schema.get("type") == "integer":
        result["format"] = "int32" if schema.get("maximum", _INT32_MAX + 1) <= _INT32_MAX else "int64"
    if schema.get("default") is not None:
        # In full also for an object: the API server runs the rules of the object on it as it stands.
        result["default"] = _without_null(schema["default"])
    if "items" in schema:
        result["items"] = _structural(schema["items"], definitions)
        result["x-kubernetes-list-type"] = "atomic"
    if schema.get("required"):
        result["required"] = sorted(schema["required"])
    if "properties" in schema:
        result["properties"] = {
            name: _structural(field, definitions) for name, field in schema["properties"].items()
        }
    if schema.get("additionalProperties", False) is not False:
        result["x-kubernetes-preserve-unknown-fields"] = True
    result.update((key, value) for key, value in schema.items() if key.startswith("x-kubernetes-"))
    return result


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return value


def _drop_defaults(schema: Schema) -> None:
    """Of status the operator writes every field; an API server that filled some in would make things up."""
    schema.pop("default", None)
    for field in schema.get("properties", {}).values():
        _drop_defaults(field)
    if "items" in schema:
        _drop_defaults(schema["items"])
