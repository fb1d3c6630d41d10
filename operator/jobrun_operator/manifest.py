"""A manifest file as a JobRun, or one error that lists everything that is wrong in it, line by line.

A manifest is one document of YAML (or JSON) with one JobRun, as ``kubectl apply`` takes it. How its words are
read is in ``api.document``: what YAML readers disagree about is refused. Like ``kubectl``, the field ``status``
is ignored: it is not for manifests.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobrun_operator.api import API_VERSION, KIND, InvalidObject, JobRun
from jobrun_operator.api.document import Document, Located, YamlError, read_documents
from jobrun_operator.api.problems import FieldPath, dotted, show
from jobrun_operator.errors import InputError

MAX_BYTES = 1_572_864
"""1.5 MiB: more than that Kubernetes' store takes in no object."""


def load_manifest(path: Path | str, *, local: bool, tasks: Mapping[str, Any] | None = None) -> JobRun:
    """The JobRun in the file. ``local``: for the local mode, which needs no image. ``tasks`` takes the place of
    ``spec.tasks``, which may then be missing.

    Raises InputError that names the file, the lines, the fields and what to do.
    """
    where = str(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(where, "there is no such file") from None
    except IsADirectoryError:
        raise InputError(where, "is a directory: name the file with the JobRun") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(where, f"can't be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise InputError(
            where,
            f"larger than {MAX_BYTES / 2**20} MiB, more than Kubernetes takes: "
            "put the tasks in a file of their own (jobrun local run --tasks, jobrun submit --tasks)",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{where}:{line}", "not UTF-8: save the file in that encoding") from None
    return parse_manifest(text, where=where, local=local, tasks=tasks)


def parse_manifest(text: str, *, where: str, local: bool, tasks: Mapping[str, Any] | None = None) -> JobRun:
    """The JobRun in ``text``; ``where`` is what messages call its file. Raises InputError, as above."""
    try:
        documents = read_documents(text)
    except YamlError as error:
        raise _as_input_error(where, [error.problem]) from None
    if not documents:
        raise InputError(where, f"empty: a manifest is one {KIND}")
    if len(documents) > 1:
        raise InputError(
            f"{where}:{documents[1].line}",
            f"the second of {len(documents)} documents: a manifest is one {KIND}, so use a file for each",
        )
    (document,) = documents
    if wrong := _wrong_kind(document.value):
        raise _as_input_error(where, [(document.line_of(path), path, message) for path, message in wrong])
    problems = list(document.problems)
    try:
        fields = {key: value for key, value in document.value.items() if key != "status"}
        if tasks is not None and isinstance(spec := fields.get("spec"), dict):
            fields["spec"] = spec | {"tasks": dict(tasks)}
        run = JobRun.from_wire(fields, local=local)
    except InvalidObject as error:
        problems += _located(error, document)
    if problems:
        raise _as_input_error(where, problems) from None
    return run


def _wrong_kind(value: Any) -> list[tuple[FieldPath, str]]:
    """Why this is no JobRun at all; the fields of another kind are not worth a message each."""
    if not isinstance(value, dict):
        return [((), f"must be a {KIND}, an object with fields, is {show(value)}")]
    if value.get("kind") == "List" or (value.get("kind") is None and isinstance(value.get("items"), list)):
        return [(("kind",), f"a List: a manifest is one {KIND}, so use a file for each")]
    wrong: list[tuple[FieldPath, str]] = []
    for name, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        found = value.get(name)
        if found is None:
            wrong.append(((name,), f"required, and missing: write {name}: {expected}"))
        elif found != expected:
            wrong.append(((name,), f"must be {expected}, is {show(found)}"))
    return wrong


def _located(error: InvalidObject, document: Document) -> list[Located]:
    """The problems with their lines, but for those that follow from a value that could not be read."""
    unread = [path for _, path, _ in document.problems]
    return [
        (document.line_of(problem.path), problem.path, problem.message)
        for problem in error.problems
        if not any(_is_related(problem.path, path) for path in unread)
    ]


def _is_related(one: FieldPath, other: FieldPath) -> bool:
    """Whether one is the other, or within it."""
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def _as_input_error(where: str, problems: list[Located]) -> InputError:
    """One error, a line for each problem, in the order of the file."""
    placed = [
        (f"{where}:{line}" + (f": {dotted(path)}" if path else ""), message)
        for line, path, message in sorted(problems, key=lambda problem: problem[0])
    ]
    (first, message), *others = placed
    return InputError(first, "\n".join([message, *(f"{place}: {text}" for place, text in others)]))
