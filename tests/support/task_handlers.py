"""Handlers for runs of tests, copied next to each manifest. What they do can be told from what they leave:

``starts.log`` gets a line for each start of a handler: time in nanoseconds, index, attempt, process. Lines are
written in one piece to a file opened for appending, so many processes can share it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
import zlib
from functools import cache
from typing import Any

from jobrun_worker import Fail
from jobrun_worker.task import Task

_SECONDS = float(os.environ.get("HANDLER_SECONDS", "0"))
"""How long the slow ones take."""
_POISON = int(os.environ.get("HANDLER_POISON", "-1"))
"""Index of the task that kills its worker."""

not_callable = "a text"


@cache
def _file() -> int:
    return os.open("starts.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _log(task: Task) -> None:
    os.write(_file(), b"%d %d %d %d\n" % (time.time_ns(), task.index, task.attempt, os.getpid()))


def noop(payload: Any) -> Any:
    return payload.get("index")


async def async_noop(payload: Any, task: Task) -> Any:
    await asyncio.sleep(0)
    return payload.get("index")


def logged(payload: Any, task: Task) -> int:
    _log(task)
    return task.index


async def async_logged(payload: Any, task: Task) -> int:
    _log(task)
    return task.index


async def slow(payload: Any, task: Task) -> int:
    _log(task)
    await asyncio.sleep(_SECONDS)
    return task.index


def fails_a_third(attempt_of: int, attempt: int) -> bool:
    """Whether this attempt fails: as random as a hash, and the same in every run."""
    return zlib.crc32(b"%d.%d" % (attempt_of, attempt)) % 3 == 0


async def flaky(payload: Any, task: Task) -> int:
    _log(task)
    if fails_a_third(task.index, task.attempt):
        raise ConnectionError("the partner hung up")
    return task.index


async def fails_each_seventh(payload: Any, task: Task) -> int:
    _log(task)
    if task.index % 7 == 6:
        raise ValueError(f"task {task.index} is a seventh")
    return task.index


async def gives_up_each_seventh(payload: Any, task: Task) -> int:
    if task.index % 7 == 6:
        raise Fail(f"task {task.index} is a seventh")
    return task.index


async def poison(payload: Any, task: Task) -> int:
    """One task kills every worker that takes it, in the middle of its neighbours."""
    _log(task)
    if task.index == _POISON:
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(_SECONDS)
    return task.index


def litter(payload: Any, task: Task) -> int:
    """Leaves, now and then, a process behind in a session of its own that would outlive anything."""
    _log(task)
    if task.index % 200 == 0:
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
    return task.index


def takes_nothing() -> None:
    """Can't be called with a payload."""


def takes_three(payload: Any, task: Task, more: Any) -> None:
    """Can't be called with a payload and a task alone."""
