"""What is wrong with an object, said to the person who wrote it: their field paths, no validator's jargon."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from jobrun_operator.api.base import RULES_ERROR
from jobrun_operator.api.types import PATTERN_MEANINGS
from jobrun_operator.errors import InputError

FieldPath = tuple[str | int, ...]
"""Keys and list positions from the top of the object, as on the wire: ``("spec", "rate", "tasks")``."""

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to correct: where, and what to do."""

    path: FieldPath
    message: str
    about_key: bool = False
    """The key itself is wrong, not the value under it."""


class InvalidObject(InputError):
    """An object of the API that is not acceptable; the message has a line for each of its ``problems``."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        first, *others = self.problems
        lines = [first.message, *(f"{dotted(other.path)}: {other.message}" for other in others)]
        super().__init__(dotted(first.path), "\n".join(lines))


def dotted(path: FieldPath) -> str:
    """``spec.tasks.items[0].name``, as kubectl and the API server write it."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", step):
            text += f".{step}" if text else step
        else:
            text += f"[{_shorten(step)}]"
    return text


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[Problem, ...]:
    """Every problem that validating an object of ``model`` found, in the order of its fields."""
    items = error.errors(include_url=False)
    # A list whose entries are wrong is also called too short, by as many.
    wrong_inside = {item["loc"][:-1] for item in items if isinstance(item["loc"][-1], int)}
    return tuple(
        problem
        for item in items
        if not (item["type"] == "too_short" and item["loc"] in wrong_inside)
        for problem in _explain(item, model)
    )


def _explain(item: Mapping[str, Any], model: type[BaseModel]) -> Iterator[Problem]:
    path: FieldPath = tuple(item["loc"])
    kind: str = item["type"]
    context: Mapping[str, Any] = item.get("ctx", {})
    if kind == RULES_ERROR:
        for field, message in context["problems"]:
            yield Problem((*path, field) if field else path, message)
    elif kind == "extra_forbidden":
        yield Problem(path, _unknown(path, model), about_key=True)
    elif kind == "missing":
        yield Problem(path, "required, and missing")
    elif kind in _MESSAGES:
        yield Problem(path, _MESSAGES[kind](item["input"], context))
    else:
        yield Problem(path, f"not acceptable: {show(item['input'])}")


def show(value: Any) -> str:
    """A value as it stands in a message, with its kind where that is what is wrong."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value}" if abs(value) < 10**20 else "a number of more than 20 digits"
    if isinstance(value, float):
        return f"{value!r}"
    if isinstance(value, str):
        return f'the text "{_shorten(value)}"'
    return "a list" if isinstance(value, list | tuple) else "an object with fields"


def _shorten(text: str) -> str:
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _unknown(path: FieldPath, model: type[BaseModel]) -> str:
    name = str(path[-1])
    known = _fields_at(model, path[:-1])
    lower = {field.lower(): field for field in known}
    close = get_close_matches(name.replace("_", "").lower(), lower, n=1, cutoff=0.7)
    if close:
        return f"unknown field; did you mean {lower[close[0]]}?"
    return f"unknown field; the fields here are {', '.join(known)}"


def _fields_at(model: type[BaseModel], path: FieldPath) -> list[str]:
    """The fields, as on the wire, of the object at ``path``."""
    for step in path:
        if isinstance(step, str):
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            model = next(_models_in(fields[step].annotation))
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _whole_number(value: Any, _context: Mapping[str, Any]) -> str:
    hint = ""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+", value):
        hint = ": leave out the quotes"
    elif isinstance(value, float):
        hint = ": write it without point and exponent"
    return f"must be a whole number, is {show(value)}{hint}"


def _text(value: Any, _context: Mapping[str, Any]) -> str:
    hint = ": put it in quotes" if isinstance(value, bool | int | float) else ""
    return f"must be text, is {show(value)}{hint}"


def _choice(value: Any, context: Mapping[str, Any]) -> str:
    return f"must be {str(context['expected']).replace(chr(39), '')}, is {show(value)}"


def _pattern(value: Any, context: Mapping[str, Any]) -> str:
    return f"{PATTERN_MEANINGS[context['pattern']]}; is {show(value)}"


def _at_least(noun: str, limit: str) -> Callable[[Any, Mapping[str, Any]], str]:
    def message(value: Any, context: Mapping[str, Any]) -> str:
        if context[limit] == 1:
            return "must not be empty"
        return f"must have at least {context[limit]} {noun}, has {len(value)}"

    return message


def _at_most(noun: str, limit: str) -> Callable[[Any, Mapping[str, Any]], str]:
    return lambda value, context: f"must have at most {context[limit]:,} {noun}, has {len(value):,}"


def _must_be(what: str) -> Callable[[Any, Mapping[str, Any]], str]:
    return lambda value, _context: f"must be {what}, is {show(value)}"


_MESSAGES: dict[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "int_type": _whole_number,
    "int_from_float": _whole_number,
    "int_parsing_size": _whole_number,
    "string_type": _text,
    "bool_type": _must_be("true or false"),
    "model_type": _must_be("an object with fields"),
    "model_attributes_type": _must_be("an object with fields"),
    "dict_type": _must_be("an object with fields"),
    "tuple_type": _must_be("a list"),
    "list_type": _must_be("a list"),
    "greater_than_equal": lambda value, context: f"must be at least {context['ge']:,}, is {show(value)}",
    "less_than_equal": lambda value, context: f"must be at most {context['le']:,}, is {show(value)}",
    "string_too_short": _at_least("characters", "min_length"),
    "string_too_long": _at_most("characters", "max_length"),
    "string_pattern_mismatch": _pattern,
    "too_short": _at_least("entries", "min_length"),
    "too_long": _at_most("entries", "max_length"),
    "enum": _choice,
    "literal_error": _choice,
    "timestamp": _must_be("a time such as 2026-01-31T12:00:00Z"),
    "datetime_type": _must_be("a time such as 2026-01-31T12:00:00Z"),
    "datetime_parsing": _must_be("a time such as 2026-01-31T12:00:00Z"),
    "datetime_from_date_parsing": _must_be("a time such as 2026-01-31T12:00:00Z"),
    "timezone_aware": _must_be("a time with its zone, such as 2026-01-31T12:00:00Z"),
    "finite_number": _must_be("a number"),
    "invalid-json-value": _must_be("a value that JSON has"),
}
