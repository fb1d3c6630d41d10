"""Wrong tasks: files, lines, sizes and sources. Nothing of them is released."""

from __future__ import annotations

import json

from accept.wrong_input import SPEC, Refusal, with_options
from support.local_run import LocalRun

_MOST = 1024 * 1024 - 64 * 1024
"""Bytes of a payload: what nats-server takes by default, less room for headers."""
_JSON_LINES = [json.dumps({"id": number}) for number in range(1, 9_001)]
_ROWS = ["id,name", *(f"{number},n{number}" for number in range(2, 9_001))]
_TASKS = {"tasks": {"count": 3}}


def _with_line(lines: list[str], number: int, line: str) -> str:
    """``lines`` with another one at ``number``, counted from 1."""
    return "\n".join([*lines[: number - 1], line, *lines[number:]]) + "\n"


def _tasks(name: str, file: str, data: str | bytes, *says: str) -> Refusal:
    def write(run: LocalRun) -> None:
        (run.folder / file).write_bytes(data.encode() if isinstance(data, str) else data)

    return Refusal(f"data: {name}", says, with_options("--tasks", file, prepare=write))


def _make_folder(run: LocalRun) -> None:
    (run.folder / "tasks.csv").mkdir()


def _tasks_field(name: str, tasks: object, *says: str) -> Refusal:
    return Refusal(f"data: {name}", says, spec={**SPEC, "tasks": tasks})


DATA: tuple[Refusal, ...] = (
    _tasks(
        "JSON Lines, line 7,000",
        "tasks.jsonl",
        _with_line(_JSON_LINES, 7000, '{"id": '),
        "tasks.jsonl line 7000",
        "not a JSON value",
        '{"id":',
    ),
    _tasks(
        "NaN in line 7,000",
        "tasks.jsonl",
        _with_line(_JSON_LINES, 7000, '{"id": NaN}'),
        "tasks.jsonl line 7000",
        "not a JSON value",
    ),
    _tasks(
        "two values in line 7,000",
        "tasks.jsonl",
        _with_line(_JSON_LINES, 7000, "{} {}"),
        "tasks.jsonl line 7000",
        "whole one",
    ),
    _tasks(
        "CSV, line 7,000 too long",
        "tasks.csv",
        _with_line(_ROWS, 7000, "1,2,3"),
        "tasks.csv line 7000",
        "has 3 fields and the header has 2",
    ),
    _tasks(
        "CSV, line 7,000 too short",
        "tasks.csv",
        _with_line(_ROWS, 7000, "1"),
        "tasks.csv line 7000",
        "has 1 field and the header has 2",
    ),
    _tasks(
        "CSV, quote in line 7,000",
        "tasks.csv",
        _with_line(_ROWS, 7000, '1,a"b'),
        "tasks.csv line 7000",
        "quote",
    ),
    _tasks(
        "CSV, quote never closed",
        "tasks.csv",
        _with_line(_ROWS, 7000, '1,"ab'),
        "tasks.csv line 7000",
        "never closed",
    ),
    _tasks(
        "CSV, not UTF-8", "tasks.csv", b"id,name\n1,caf\xe9\n", "tasks.csv line 2", "save the file as UTF-8"
    ),
    _tasks(
        "CSV, duplicate header",
        "tasks.csv",
        "id,name,id\n1,a,2\n",
        "tasks.csv line 1",
        "has the name id twice",
    ),
    _tasks(
        "CSV, nameless column", "tasks.csv", "id,,name\n1,2,3\n", "tasks.csv line 1", "column 2", "is empty"
    ),
    _tasks("CSV, only a header", "tasks.csv", "id,name\n", "tasks.csv", "there is no task in it"),
    _tasks("empty JSON Lines", "tasks.jsonl", "", "tasks.jsonl", "there is no task in it"),
    _tasks("blank JSON Lines", "tasks.jsonl", "\n \n\n", "tasks.jsonl", "there is no task in it"),
    _tasks("empty CSV", "tasks.csv", "", "tasks.csv", "there is no task in it"),
    _tasks("UTF-16", "tasks.csv", "id\n1\n".encode("utf-16"), "tasks.csv", "save it as UTF-8"),
    _tasks(
        "payload over the limit",
        "tasks.jsonl",
        f'{{}}\n"{"a" * (_MOST - 1)}"\n',
        "tasks.jsonl line 2",
        f"at most {_MOST:,} bytes",
        "put large data elsewhere",
    ),
    _tasks(
        "CSV payload over the limit",
        "tasks.csv",
        f"id\n{'a' * _MOST}\n",
        "tasks.csv line 2",
        f"at most {_MOST:,} bytes",
    ),
    _tasks("no known ending", "tasks.txt", "{}\n", "--tasks", "its name must end in one of"),
    Refusal(
        "data: no such file", ("--tasks", "there is no file tasks.csv"), with_options("--tasks", "tasks.csv")
    ),
    Refusal(
        "data: a folder",
        ("--tasks", "is a directory; give a JSON Lines or CSV file"),
        with_options("--tasks", "tasks.csv", prepare=_make_folder),
    ),
    Refusal(
        "data: a device", ("--tasks", "its name must end in one of"), with_options("--tasks", "/dev/null")
    ),
    _tasks_field(
        "items over the limit", {"items": [{}, {"a": "a" * _MOST}]}, "items[1]", f"at most {_MOST:,} bytes"
    ),
    _tasks_field(
        "ConfigMap without cluster", {"configMap": {"name": "ids", "key": "ids.csv"}}, "configMap", "--tasks"
    ),
    _tasks_field(
        "Secret without cluster",
        {"http": {"url": "http://127.0.0.1:1/a.csv", "secretName": "partner"}},
        "secretName",
    ),
)
