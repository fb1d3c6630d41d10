"""YAML text as plain JSON values, with the line of every field, and no surprises in between.

YAML 1.1 and 1.2 read some unquoted words differently: ``yes``, ``on`` and even ``y`` are true to kubectl (whose
parser is go-yaml of version 2) and text to others, ``0755`` is a number of three values, ``1_000`` text or a
number. A manifest must mean the same to ``kubectl apply`` and to the local mode, so what is read differently is
refused with the advice to quote it. What is left is JSON's: true, false, null, decimal numbers, text. Times and
``1:30`` are text to both readers, and are text here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from jobrun_operator.api.problems import FieldPath

MAX_DEPTH = 100
"""Objects and lists in one another; Kubernetes' own limits are far lower in practice."""

MAX_VALUES = 500_000
"""Values of a document with its aliases written out: a bound for what a few lines of aliases can become."""

_PLAIN = "!plain"
_TEXT_TAG = "tag:yaml.org,2002:str"
_COLLECTION_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_SOMETIMES_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
_SOMETIMES_FALSE = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF"})
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_SOMETIMES_NUMBER = re.compile(
    r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+"
    r"|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9_]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|\.inf|\.Inf|\.INF|\.nan|\.NaN|\.NAN)"
)
_MAX_INTEGER = 2**63 - 1
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")

_SAID_PLAINLY = {
    "mapping values are not allowed in this context": "a ':' too many, or a line that is indented wrongly; "
    "text with ': ' in it must be in quotes",
    "found character that cannot start any token": "text that begins like this must be in quotes",
    "could not find expected ':'": "a ':' is missing after the name of a field",
    "did not find expected key": "this line is not indented like those around it",
    "did not find expected '-' indicator": "a '-' is missing: the lines above are entries of a list",
    "found undefined alias": "it refers to an anchor (&name) that is not there",
    "found unexpected end of stream": "a quote is opened and not closed",
}


Located = tuple[int, FieldPath, str]
"""A line, the field on it (empty for none), and what is wrong there."""


class YamlError(Exception):
    """The text can't be read: where, and why."""

    def __init__(self, problem: Located) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(slots=True)
class Document:
    """One document: its value, and the line on which each of its fields begins.

    ``problems`` are values that readers disagree about and the like; such a value is None in ``value``.
    """

    value: Any
    line: int
    lines: dict[FieldPath, int] = field(default_factory=dict)
    problems: tuple[Located, ...] = ()

    def line_of(self, path: FieldPath) -> int:
        """The line of ``path``, or of the innermost object around it that is there."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.line


def read_documents(text: str) -> tuple[Document, ...]:
    """The documents of ``text`` that are not empty. Raises YamlError."""
    if bad := _CONTROL.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise YamlError((line, (), f"not text: a control character (code {ord(bad.group())})"))
    try:
        _check_depth(text)
        nodes = [node for node in yaml.compose_all(text, Loader=_Loader) if not _is_empty(node)]
    except yaml.MarkedYAMLError as error:
        raise YamlError(_plainly(error, text)) from None
    except yaml.YAMLError as error:
        raise YamlError((1, (), f"not valid YAML: {error}")) from None
    return tuple(_Builder().build(node) for node in nodes)


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # whether the fast loader is there is known at run time only
    """Leaves what plain words mean to the builder."""

    yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(r"(?s).*"))]}  # noqa: RUF012  # PyYAML's own name


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise YamlError((_line(event), (), f"nested more than {MAX_DEPTH} levels deep"))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _PLAIN and node.value in _NULL


def _plainly(error: yaml.MarkedYAMLError, text: str) -> Located:
    mark = error.problem_mark or error.context_mark
    number = mark.line if mark else 0
    lines = text.splitlines() or [""]
    line = lines[min(number, len(lines) - 1)]
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return number + 1, (), "not valid YAML: the line is indented with a tab; use spaces"
    problem = error.problem or "it can't be read"
    return number + 1, (), f"not valid YAML: {_SAID_PLAINLY.get(problem, problem)}"


class _Builder:
    """Turns the nodes of a document into values, and notes lines and problems on the way."""

    def __init__(self) -> None:
        self._lines: dict[FieldPath, int] = {}
        self._problems: list[Located] = []
        self._open: list[yaml.Node] = []
        self._values = 0

    def build(self, root: yaml.Node) -> Document:
        value = self._value(root, ())
        return Document(value, _line(root), self._lines, tuple(self._problems))

    def _refuse(self, node: yaml.Node, path: FieldPath, message: str) -> None:
        self._problems.append((_line(node), path, message))

    def _value(self, node: yaml.Node, path: FieldPath) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise YamlError((_line(node), path, f"more than {MAX_VALUES:,} values, aliases written out"))
        if any(node is outer for outer in self._open):
            raise YamlError((_line(node), path, "an alias that holds itself"))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in _COLLECTION_TAGS:
            self._refuse(node, path, f"the tag {node.tag} is not supported: leave it out")
        self._open.append(node)
        value = self._object(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        self._open.pop()
        return value

    def _list(self, node: yaml.Node, path: FieldPath) -> list[Any]:
        values = []
        for position, entry in enumerate(node.value):
            self._lines[(*path, position)] = _line(entry)
            values.append(self._value(entry, (*path, position)))
        return values

    def _object(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for merged in self._merged(node, path):
            for name, value in merged.items():
                values.setdefault(name, value)
        here: dict[str, int] = {}
        for key, entry in node.value:
            if _is_merge(key):
                continue
            known = self._key(key, path)
            if known is None:
                continue
            inner = (*path, known)
            if known in here:
                self._refuse(key, inner, f"is here twice, first on line {here[known]}: remove one of them")
                continue
            here[known] = self._lines[inner] = _line(key)
            values[known] = self._value(entry, inner)
        return values

    def _merged(self, node: yaml.MappingNode, path: FieldPath) -> Iterator[dict[str, Any]]:
        for key, entry in node.value:
            if _is_merge(key):
                for source in entry.value if isinstance(entry, yaml.SequenceNode) else [entry]:
                    if isinstance(source, yaml.MappingNode):
                        yield self._value(source, path)
                    else:
                        self._refuse(key, path, "<< takes an object with fields, or a list of those")

    def _key(self, node: yaml.Node, path: FieldPath) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._refuse(node, path, "the name of a field must be text")
            return None
        inner = (*path, node.value)
        value = self._scalar(node, inner)
        if isinstance(value, str) or type(value) is int:
            return str(value)
        if node.tag == _PLAIN and not self._is_refused(inner):
            self._refuse(node, inner, "the name of a field must be text: put it in quotes")
        return None

    def _is_refused(self, path: FieldPath) -> bool:
        return bool(self._problems) and self._problems[-1][1] == path

    def _scalar(self, node: yaml.ScalarNode, path: FieldPath) -> Any:
        text: str = node.value
        if node.tag == _TEXT_TAG:
            return text
        if node.tag != _PLAIN:
            self._refuse(node, path, f"the tag {node.tag} is not supported: leave it out")
        elif text in _NULL:
            return None
        elif text in _TRUE or text in _FALSE:
            return text in _TRUE
        elif text in _SOMETIMES_TRUE or text in _SOMETIMES_FALSE:
            meant = "true" if text in _SOMETIMES_TRUE else "false"
            self._refuse(
                node, path, f'{text} is {meant} to some readers of YAML: write {meant}, or "{text}" for text'
            )
        elif number := _JSON_NUMBER.fullmatch(text):
            return self._number(node, path, whole=number.group(1) is None and number.group(2) is None)
        elif _SOMETIMES_NUMBER.fullmatch(text):
            shown = text if len(text) <= 40 else text[:39] + "…"
            self._refuse(
                node,
                path,
                f'{shown} is different things to readers of YAML: write a decimal number, or "{shown}" for text',
            )
        else:
            return text
        return None

    def _number(self, node: yaml.ScalarNode, path: FieldPath, *, whole: bool) -> int | float | None:
        value: int | float = math.inf
        if not whole:
            value = float(node.value)
        elif len(node.value) <= len(str(_MAX_INTEGER)) + 1:
            value = int(node.value)
        if whole and abs(value) > _MAX_INTEGER:
            self._refuse(node, path, f"too large: whole numbers end at {_MAX_INTEGER}")
            return None
        if math.isinf(value):
            self._refuse(node, path, "too large for a number")
            return None
        return value


def _line(node: yaml.Node | yaml.Event) -> int:
    return int(node.start_mark.line) + 1 if node.start_mark else 1


def _is_merge(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _PLAIN and node.value == "<<"
