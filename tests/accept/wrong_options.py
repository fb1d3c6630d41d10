"""Wrong options and wrong handlers."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from accept.complete import worker
from accept.wrong_input import SPEC, Given, Prepare, Refusal, command, with_options
from support.local_run import LocalRun


def _words(*words: str) -> Given:
    """Not after a manifest and a data directory."""

    @contextmanager
    def given(run: LocalRun) -> Iterator[Sequence[str]]:
        yield words

    return given


def _handler(name: str, spec: Mapping[str, Any], *says: str, prepare: Prepare = lambda run: None) -> Refusal:
    return Refusal(
        f"handler: {name}", ("spec.worker", *says), with_options(prepare=prepare), {**SPEC, "worker": spec}
    )


def _module(text: str) -> Prepare:
    def write(run: LocalRun) -> None:
        (run.folder / "mine.py").write_text(text)

    return write


@contextmanager
def _occupied_port(run: LocalRun) -> Iterator[Sequence[str]]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield command("--port", str(taken.getsockname()[1]))


def _file(name: str, text: str = "") -> Prepare:
    def write(run: LocalRun) -> None:
        (run.folder / name).write_text(text)

    return write


def _folder(name: str) -> Prepare:
    def make(run: LocalRun) -> None:
        (run.folder / name).mkdir()

    return make


def _foreign(run: LocalRun) -> None:
    run.data.mkdir()
    (run.data / "letters.txt").write_text("somebody's")


def _not_executable(run: LocalRun) -> None:
    (run.folder / "task.sh").write_text("#!/bin/sh\n")


OPTIONS: tuple[Refusal, ...] = (
    Refusal("option: no FILE", ("Missing argument 'FILE'",), _words("local", "run")),
    Refusal(
        "option: two FILEs", ("unexpected extra argument",), _words("local", "run", "run.yaml", "other.yaml")
    ),
    Refusal("option: unknown", ("--max-worker", "--max-workers"), with_options("--max-worker", "2")),
    Refusal(
        "option: a field as one",
        ("no option --rate", "spec.rate of the manifest"),
        with_options("--rate", "5"),
    ),
    Refusal("option: unknown command", ("No such command 'runn'",), _words("local", "runn", "run.yaml")),
    Refusal("option: no worker", ("--max-workers", "1<=x<=1000"), with_options("--max-workers", "0")),
    Refusal("option: 1001 workers", ("--max-workers", "1<=x<=1000"), with_options("--max-workers", "1001")),
    Refusal(
        "option: workers in words", ("--max-workers", "not a valid"), with_options("--max-workers", "two")
    ),
    Refusal("option: port 0", ("--port", "1<=x<=65535"), with_options("--port", "0")),
    Refusal("option: port 65536", ("--port", "1<=x<=65535"), with_options("--port", "65536")),
    Refusal("option: port in use", ("in use", "--port"), _occupied_port, code=3),
    Refusal(
        "option: results nowhere",
        ("--results", "there is no directory"),
        with_options("--results", "no/r.jsonl"),
    ),
    Refusal(
        "option: results a folder",
        ("--results", "is a directory; name a file"),
        with_options("--results", "."),
    ),
    Refusal(
        "option: results over the manifest",
        ("--results", "run.yaml is the manifest", "name another file"),
        with_options("--results", "run.yaml"),
    ),
    Refusal(
        "option: data dir a file",
        ("--data-dir", "is a file, or below one: name a directory"),
        with_options(prepare=_file("data")),
    ),
    Refusal(
        "option: data dir below a file",
        ("--data-dir", "is a file, or below one: name a directory"),
        with_options("--data-dir", "run.yaml/data"),
    ),
    Refusal(
        "option: data dir of somebody",
        ("--data-dir", "is not a data directory of JobRun", "letters.txt", "name an empty or a new one"),
        with_options(prepare=_foreign),
    ),
    Refusal(
        "option: data dir in /proc",
        ("--data-dir", "can't be used"),
        with_options("--data-dir", "/proc/jobrun"),
    ),
    _handler(
        "no module",
        {"python": "absent:call"},
        "can't import 'absent'",
        "No module named",
        "working directory",
    ),
    _handler("no function", worker("absent"), "has no 'absent'", "handlers.py"),
    _handler("not callable", worker("not_callable"), "run.yaml:", "is of type str, not a function"),
    _handler("takes nothing", worker("takes_nothing"), "must take (payload) or (payload, task)"),
    _handler("takes three", worker("takes_three"), "must take (payload) or (payload, task)"),
    _handler(
        "import error",
        {"python": "mine:call"},
        "can't import 'mine'",
        "cannot import",
        prepare=_module("from os import no"),
    ),
    _handler(
        "syntax error",
        {"python": "mine:call"},
        "can't import 'mine'",
        "SyntaxError",
        prepare=_module("def (:"),
    ),
    _handler(
        "exits at import",
        {"python": "mine:call"},
        "can't import 'mine'",
        prepare=_module("raise SystemExit(0)"),
    ),
    _handler("no such command", {"exec": {"command": ["no-such-command"]}}, "no-such-command"),
    _handler("no such path", {"exec": {"command": ["./absent.sh"]}}, "./absent.sh"),
    _handler(
        "not executable", {"exec": {"command": ["./task.sh"]}}, "./task.sh", "execut", prepare=_not_executable
    ),
    _handler("a folder as command", {"exec": {"command": ["./bin"]}}, "./bin", prepare=_folder("bin")),
)
