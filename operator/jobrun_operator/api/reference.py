"""The reference of the API for people, ``docs/api.md``, made from the same schema as the CRD."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobrun_operator.api.jobrun import API_VERSION, KIND, MAX_NAME_LENGTH, PAUSED_ANNOTATION
from jobrun_operator.api.schema import COLUMNS, WIDE_COLUMNS, Schema, object_schema
from jobrun_operator.api.types import DNS_LABEL, PATTERN_MEANINGS

_INTRODUCTION = f"""\
<!-- Made by `make crds` from the models in operator/jobrun_operator/api: change those, not this file. -->

# `{KIND}` (`{API_VERSION}`)

Every field of a `{KIND}`, with its type, default and bounds. Times are whole seconds. The API server refuses what
does not fit, with the field and the reason; `jobrun local run` applies the same rules. Unknown fields are refused
too (by `kubectl`, which asks the server for strict validation; other clients may ask for less, and then unknown
fields are dropped). In files, `jobrun` also refuses unquoted words that readers of YAML disagree about, such as `yes`
or `0755`, so that a manifest means the same here and on a cluster.

## `metadata`

`metadata.name` is required: at most {MAX_NAME_LENGTH} characters; it {PATTERN_MEANINGS[DNS_LABEL]}. The annotation
`{PAUSED_ANNOTATION}: "true"` suspends a run as `spec.suspend` does.
"""


def reference() -> str:
    """The whole document."""
    fields = object_schema()["properties"]
    sections = [_INTRODUCTION]
    for top in ("spec", "status"):
        sections.extend(_object(top, fields[top]))
        if top == "spec":
            sections.append(_immutable())
    sections.append(_columns())
    return "\n".join(sections)


def _object(path: str, schema: Schema) -> Iterator[str]:
    """A section for the object at ``path``, then one for each object in it."""
    lines = [f"## `{path}`", "", schema.get("description", ""), ""]
    lines += ["| Field | Type | Default | Bounds | Meaning |", "|---|---|---|---|---|"]
    required = schema.get("required", [])
    nested: list[tuple[str, Schema]] = []
    for name, field in schema["properties"].items():
        inner = field.get("items", field)
        if "properties" in inner:
            nested.append((f"{path}.{name}[]" if "items" in field else f"{path}.{name}", inner))
        meaning = field.get("description", "") if "items" in field or "properties" not in field else ""
        cells = (
            f"`{name}`",
            _type(field),
            _default(field, name in required),
            _bounds(field),
            meaning or f"See `{path}.{name}`.",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    rules = [rule for rule in schema.get("x-kubernetes-validations", ()) if "oldSelf" not in rule["rule"]]
    if rules:
        lines += ["", "Rules:", "", *(f"- {_about(rule)}{rule['message']}" for rule in rules)]
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        lines += ["", "Other fields are kept as they are, and are Kubernetes' own to check."]
    yield "\n".join((*lines, ""))
    for inner_path, inner in nested:
        yield from _object(inner_path, inner)


def _about(rule: dict[str, Any]) -> str:
    return f"`{rule['fieldPath'].lstrip('.')}`: " if "fieldPath" in rule else ""


def _type(field: Schema) -> str:
    if "enum" in field:
        return "enum"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}s"
    if field.get("format") == "date-time":
        return "time"
    return str(field["type"])


def _default(field: Schema, required: bool) -> str:
    if required:
        return "required"
    default = field.get("default")
    if default is None or isinstance(default, dict):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"{default:,}" if isinstance(default, int) else f"`{default}`"


def _bounds(field: Schema) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    parts = []
    if "minimum" in field or "maximum" in field:
        parts.append(_range(field.get("minimum"), field.get("maximum"), ""))
    if "maxItems" in field:
        parts.append(_range(field.get("minItems"), field["maxItems"], " entries"))
    if "maxLength" in field:
        parts.append(_range(field.get("minLength"), field["maxLength"], " characters"))
    if "pattern" in field:
        parts.append(PATTERN_MEANINGS[field["pattern"]])
    return "; ".join(parts)


def _range(low: int | None, high: int | None, unit: str) -> str:
    if high is None:
        return f"at least {low:,}{unit}"
    return f"{low:,} to {high:,}{unit}" if low is not None else f"at most {high:,}{unit}"


def _immutable() -> str:
    return (
        "All of `spec` but `spec.tasks` can be changed while a run goes on. A change of `rate` acts within a second; "
        "a change of `worker` or `retry`\nrolls the workers, a quarter of them at a time.\n"
    )


def _columns() -> str:
    shown = [*COLUMNS, *((f"{name} (`-o wide`)", *rest) for name, *rest in WIDE_COLUMNS)]
    rows = "\n".join(f"| {name} | `{path}` | {meaning} |" for name, _, path, meaning in shown)
    return f"## Columns of `kubectl get jobruns`\n\n| Column | Field | Meaning |\n|---|---|---|\n{rows}\n"
