"""What runs a task: a Python function, a command, or an HTTP endpoint, behind one small protocol."""

from __future__ import annotations

import shutil
from typing import Protocol

from jobrun_worker.settings import WorkerSettings
from jobrun_worker.task import Task


class HandlerError(Exception):
    """The handler can't be used at all; the message says why and what to do."""


class AttemptFailed(Exception):
    """This attempt came to nothing; the message is all there is to say."""


class Handler(Protocol):
    """Called once for each attempt; cancelled at the time limit."""

    async def __call__(self, payload: bytes, task: Task) -> bytes:
        """The result as JSON, empty where results are not kept.

        Raises Retry, Fail or Throttled, or anything else for a failed attempt.
        """
        ...

    @property
    def wants_task(self) -> bool:
        """Whether it looks at the task; where not, it may be called with any."""
        ...

    @property
    def stuck(self) -> int:
        """Runs that were cancelled and go on all the same: they take a thread for good."""
        ...

    def limit_result(self, size: int) -> None:
        """The most bytes that a result may have: known once there is a connection to the broker."""
        ...

    async def open(self) -> None:
        """Called once on the worker's loop, before the first task."""
        ...

    async def close(self) -> None:
        """Called once, when no task runs any more."""
        ...

    def kill(self) -> None:
        """End what runs outside of this process, at once: the process is about to exit."""
        ...


def load(settings: WorkerSettings) -> Handler:
    """Raises HandlerError."""
    if settings.handler_python:
        from jobrun_worker.handlers.batch import BatchHandler
        from jobrun_worker.handlers.python import PythonHandler, resolve

        return (BatchHandler if settings.batch_size else PythonHandler)(
            resolve(settings.handler_python), threads=settings.concurrency, retain=settings.retain_results
        )
    if settings.handler_exec:
        from jobrun_worker.handlers.command import CommandHandler

        if shutil.which(settings.handler_exec[0]) is None:
            raise HandlerError(f"no such command, or not executable: {settings.handler_exec[0]!r}")
        return CommandHandler(settings.handler_exec, retain=settings.retain_results)
    from jobrun_worker.handlers.http import HttpHandler

    return HttpHandler(settings.handler_http, slots=settings.concurrency, retain=settings.retain_results)
