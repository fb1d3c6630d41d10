"""Handlers: what can be used as one, and what becomes of what they put out."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobrun_worker import Fail
from jobrun_worker.handlers import HandlerError, load
from jobrun_worker.handlers.http import seconds_of
from jobrun_worker.handlers.python import PythonHandler, resolve
from jobrun_worker.handlers.results import encode, from_text
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.task import Task

TASK = Task(7, 2, "run", "namespace", "uid-7")


def one(payload: Any) -> Any:
    return payload


def both(payload: Any, task: Task) -> Any:
    return [payload, task.index]


def with_option(payload: Any, retries: int = 3) -> Any:
    return retries


def optional_task(payload: Any, task: Task | None = None) -> Any:
    return task is not None


async def asynchronous(payload: Any, task: Task) -> Any:
    await asyncio.sleep(0)
    return task.attempt


def returns_awaitable(payload: Any) -> Any:
    return asynchronous(payload, TASK)


class Callable:
    async def __call__(self, payload: Any) -> Any:
        return "called"

    def method(self, payload: Any, task: Task) -> Any:
        return task.run


def stops(payload: Any) -> Any:
    return next(iter(()))


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (one, {"a": 1}),
        (both, [{"a": 1}, 7]),
        (with_option, 3),
        (optional_task, True),
        (asynchronous, 2),
        (returns_awaitable, 2),
        (Callable(), "called"),
        (Callable().method, "run"),
        (lambda payload, task: task.idempotency_key, "uid-7"),
    ],
)
async def test_what_is_called_and_how(function: Any, result: Any) -> None:
    handler = PythonHandler(function, threads=1, retain=True)
    assert json.loads(await handler(b'{"a": 1}', TASK)) == result
    await handler.close()


async def test_a_stop_iteration_in_a_thread_is_an_error_like_others() -> None:
    handler = PythonHandler(stops, threads=1, retain=False)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(handler(b"1", TASK), 30)
    await handler.close()


@pytest.mark.parametrize("payload", [b"{", b"", b"1 2", b"1,", b"\xff", b"[" * 100_000, b"9" * 5000])
async def test_a_payload_that_is_no_json_is_not_tried_again(payload: bytes) -> None:
    handler = PythonHandler(one, threads=1, retain=False)
    with pytest.raises(Fail, match="not JSON"):
        await handler(payload, TASK)
    await handler.close()


@pytest.mark.parametrize("payload", [b'{"a": 1}', b' {"a": 1}', b'{"a": 1}\r\n\t '])
async def test_whitespace_around_a_payload_means_nothing(payload: bytes) -> None:
    handler = PythonHandler(lambda value: value, threads=1, retain=True)
    assert await handler(payload, TASK) == b'{"a":1}'
    await handler.close()


@pytest.mark.parametrize("function", [lambda: None, lambda a, b, c: None, lambda *, payload: None])
def test_a_function_that_takes_something_else_is_refused(function: Any) -> None:
    with pytest.raises(HandlerError, match=r"must take \(payload\) or \(payload, task\)"):
        PythonHandler(function, threads=1, retain=False)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module of its own in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"handlers_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(
        "VALUE = 1\ndef handle(payload): pass\nclass Api:\n    @staticmethod\n    def handle(payload): pass\n"
    )
    (tmp_path / f"{name}_bad.py").write_text("import json\n\nraise OSError('no database')\n")
    return name


def test_a_handler_is_found_in_the_working_directory(module: str) -> None:
    assert resolve(f"{module}:handle").__name__ == "handle"
    assert resolve(f"{module}:Api.handle").__name__ == "handle"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("handle", "is not module:function"),
        (":handle", "is not module:function"),
        ("nowhere_to_be_found:handle", "can't import 'nowhere_to_be_found'.*ModuleNotFoundError"),
        ("{module}:missing", "has no 'missing' .*py"),
        ("{module}:VALUE", "is of type int, not a function"),
        ("{module}_bad:handle", r"OSError: no database \(at handlers_\d+_bad.py:3\)"),
    ],
)
def test_a_handler_that_cannot_be_used_is_said_to(module: str, reference: str, said: str) -> None:
    with pytest.raises(HandlerError, match=said):
        resolve(reference.replace("{module}", module))


def test_a_command_that_does_not_exist_is_said_to() -> None:
    settings = WorkerSettings(nats_url="", uid="", run="", namespace="", handler_exec=("/no/such/command",))
    with pytest.raises(HandlerError, match="no such command"):
        load(settings)


@pytest.mark.parametrize("value", [None, 1, 1.5, "ü", [1, {"a": None}], {"1": True}])
def test_json_values_are_results(value: Any) -> None:
    assert json.loads(encode(value, 1000)) == value


@pytest.mark.parametrize("value", [{1}, object(), float("nan"), float("inf"), b"bytes", {(1, 2): 3}])
def test_anything_else_is_none(value: Any) -> None:
    with pytest.raises(Fail, match="not a JSON value"):
        encode(value, 1000)


def test_a_value_that_contains_itself_is_none() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(Fail, match="not a JSON value"):
        encode(value, 1000)


def test_a_result_has_a_largest_size() -> None:
    assert encode("x" * 98, 100) == b'"' + b"x" * 98 + b'"'
    with pytest.raises(Fail, match="larger than the 100 bytes"):
        encode("x" * 99, 100)
    with pytest.raises(Fail, match="larger than the 100 bytes"):
        from_text(b"\n" * 99, 100)


@pytest.mark.parametrize(
    ("output", "result"),
    [
        (b'{"a": 1}\n', {"a": 1}),
        (b" 12 ", 12),
        (b"NaN", "NaN"),
        (b"plain\n", "plain\n"),
        (b"", ""),
        (b"\xff", "\ufffd"),
    ],
)
def test_output_is_json_where_it_parses_and_text_elsewhere(output: bytes, result: Any) -> None:
    assert json.loads(from_text(output, 1000)) == result


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("Fri, 01 Jan 2027 00:00:30 GMT", 30),
        ("Fri, 01 Jan 2027 00:00:30 +0000", 30),
        ("Fri, 31 Dec 2026 23:00:00 GMT", 0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert seconds_of(header, datetime(2027, 1, 1, tzinfo=UTC)) == seconds
