"""What every model of the API shares: how it reads and writes the wire, and how rules across fields are kept.

A rule across fields has two readers: these models, and the API server, which runs its CEL form before
anything is stored. Both forms, and the one message, are written in one place, the ``@rule`` above the method
that checks it, so that neither is changed without the other in sight; a test runs every manifest of its table
through both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationInfo, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

RULES_ERROR = "rules"
"""The pydantic error type of broken rules; its context lists ``problems`` as (field, message) pairs."""

_MARK = "__jobrun_rule__"
_Check = TypeVar("_Check", bound=Callable[[Any], bool])


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition across the fields of one object.

    ``cel`` is its form for the API server, empty where a schema says it otherwise. ``field`` is the field to
    point at, as on the wire. With ``cluster_only`` the rule is for Kubernetes and not for the local mode.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool]
    field: str = ""
    cluster_only: bool = False


def rule(
    cel: str, message: str, *, field: str = "", cluster_only: bool = False
) -> Callable[[_Check], _Check]:
    """Make a method that says whether its model holds a ``Rule`` of that model."""

    def mark(check: _Check) -> _Check:
        setattr(check, _MARK, Rule(cel, message, check, field, cluster_only))
        return check

    return mark


def rules_of(model: type[BaseModel]) -> tuple[Rule, ...]:
    """The rules of ``model`` in the order in which they are written."""
    return tuple(cast(Rule, getattr(value, _MARK)) for value in vars(model).values() if hasattr(value, _MARK))


def as_validation(rule: Rule) -> dict[str, str]:
    """``rule`` as an entry of ``x-kubernetes-validations``."""
    entry = {"rule": rule.cel, "message": rule.message}
    return {**entry, "fieldPath": f".{rule.field}"} if rule.field else entry


def is_local(info: ValidationInfo) -> bool:
    """Whether a manifest is read for the local mode, which has no images and no cluster."""
    return bool(info.context and info.context.get("local"))


class WireModel(BaseModel):
    """snake_case in Python, camelCase on the wire, and frozen: a change is a new value."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        frozen=True,
        use_attribute_docstrings=True,
    )

    def to_wire(self) -> dict[str, Any]:
        """Plain JSON values in camelCase, without what is None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class SpecModel(WireModel):
    """What users write: nothing unknown, nothing converted, and every rule checked."""

    model_config = ConfigDict(strict=True, extra="forbid")

    def to_wire(self) -> dict[str, Any]:
        """What was set, as plain JSON values in camelCase; defaults that nobody wrote are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The rules go along with the schema, in their CEL form."""
        rendered = handler(core)
        schema = handler.resolve_ref_schema(rendered)
        rules = [as_validation(rule) for rule in rules_of(cls) if rule.cel]
        if rules:
            schema["x-kubernetes-validations"] = rules
        return rendered

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        """As the API server does: a field that is null is a field that is not there."""
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data

    @model_validator(mode="after")
    def _rules_hold(self, info: ValidationInfo) -> SpecModel:
        local = is_local(info)
        problems = [
            (rule.field, rule.message)
            for rule in rules_of(type(self))
            if not (rule.cluster_only and local) and not rule.holds(self)
        ]
        if problems:
            text = "; ".join(message for _, message in problems).replace("{", "{{").replace("}", "}}")
            raise PydanticCustomError(RULES_ERROR, cast(Any, text), {"problems": problems})
        return self
