"""The handlers of runs that faults are done to. They are copied beside each run, and leave a log that can be judged.

``log`` gets a line when a handler begins (``b``) and when it is about to return or raise (``e``): letter, index by
the task, index by the payload, attempt, process, nanoseconds since the epoch by the machine's own clock. Lines are
written in one piece to a file opened for appending, so many processes can share it.
"""

from __future__ import annotations

import asyncio
import os
import time
import zlib
from functools import cache
from typing import Any

from jobrun_worker import Fail, Retry, Task


@cache
def _file() -> int:
    return os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _log(letter: str, payload: Any, task: Task) -> None:
    now = time.clock_gettime_ns(time.CLOCK_REALTIME)  # whatever step this process sees
    line = f"{letter} {task.index} {payload['index']} {task.attempt} {os.getpid()} {now}\n"
    os.write(_file(), line.encode())


def _roll(index: int) -> int:
    """0 to 99, as random as a hash, and the same in every run."""
    return zlib.crc32(b"%d" % index) % 100


def gives_up(index: int) -> bool:
    """Whether the handler says of this task that it can't succeed."""
    return _roll(index) == 0


def always_fails(index: int) -> bool:
    return _roll(index) == 4


def fails_first(index: int) -> bool:
    return 1 <= _roll(index) <= 3


def _seconds(index: int) -> float:
    """Mostly some milliseconds; now and then longer than the broker waits for a sign of life."""
    return 3.5 if index % 300 == 150 else 0.00025 * _roll(index)


def result_of(index: int) -> dict[str, int]:
    return {"index": index, "squared": index * index}


def _error(task: Task) -> Exception | None:
    if gives_up(task.index):
        return Fail("this one can't succeed")
    if fails_first(task.index) and task.attempt == 1:
        return Retry(0.2)
    if always_fails(task.index):
        return ConnectionError("the partner hung up")
    return None


async def handle(payload: Any, task: Task) -> dict[str, int]:
    _log("b", payload, task)
    await asyncio.sleep(_seconds(task.index))
    return _end(payload, task)


async def handle_at_once(payload: Any, task: Task) -> dict[str, int]:
    """Nothing but the log."""
    _log("b", payload, task)
    return _end(payload, task)


async def handle_batch(payloads: list[Any], tasks: list[Task]) -> list[dict[str, int] | Exception]:
    """The same for many."""
    for payload, task in zip(payloads, tasks, strict=True):
        _log("b", payload, task)
    for payload, task in zip(payloads, tasks, strict=True):
        _log("e", payload, task)
    return [_error(task) or result_of(task.index) for task in tasks]


def _end(payload: Any, task: Task) -> dict[str, int]:
    _log("e", payload, task)
    if error := _error(task):
        raise error
    return result_of(task.index)
