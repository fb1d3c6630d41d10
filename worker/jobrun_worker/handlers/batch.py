"""Batch handlers: ``module:function`` that takes a list of payloads and returns a list of what each came to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jobrun_worker.handlers import AttemptFailed
from jobrun_worker.handlers.python import PythonHandler
from jobrun_worker.handlers.results import encode
from jobrun_worker.instructions import Fail
from jobrun_worker.task import Task

_from_json = json.JSONDecoder().decode

Ended = bytes | Exception
"""What one task of a batch came to: its result as JSON (empty where results are not kept), or what it would have raised
if it had been alone."""


class BatchHandler(PythonHandler):
    """``function(payloads)`` or ``function(payloads, tasks)``, sync in threads or async on the worker's loop."""

    async def __call__(self, payload: bytes, task: Task) -> bytes:
        """A batch of one."""
        (ended,) = await self.call_with([payload], [task])
        if isinstance(ended, Exception):
            raise ended
        return ended

    async def call_with(self, payloads: Sequence[bytes], tasks: Sequence[Task]) -> list[Ended]:
        """In the order of ``payloads``. Raises what the function raises: it is about each task of the batch."""
        values, readable = _values(payloads, tasks)
        returned = await self._call((values, readable) if self._takes_task else (values,)) if readable else []
        if not isinstance(returned, list | tuple):
            raise AttemptFailed(
                f"a batch handler returns a list, an entry for each task; this is of type {type(returned).__name__}"
            )
        if len(returned) != len(readable):
            raise AttemptFailed(
                f"a batch handler returns an entry for each task: {len(returned)} for {len(readable)} tasks"
            )
        if len(readable) == len(tasks):
            return [self._ended(one) for one in returned]
        ended = {task.index: self._ended(one) for task, one in zip(readable, returned, strict=True)}
        return [ended.get(task.index, _NOT_JSON) for task in tasks]

    def _ended(self, one: Any) -> Ended:
        if isinstance(one, Exception):
            return one
        if not self._retain:
            return b""
        try:
            return encode(one, self._limit)
        except Fail as refusal:
            return refusal


_NOT_JSON = Fail("the payload is not JSON")


def _values(payloads: Sequence[bytes], tasks: Sequence[Task]) -> tuple[list[Any], list[Task]]:
    """The payloads that are JSON, and the tasks that they are of."""
    try:
        return [_from_json(payload.decode()) for payload in payloads], list(tasks)
    except (ValueError, RecursionError):
        values: list[Any] = []
        readable = []
        for payload, task in zip(payloads, tasks, strict=True):
            try:
                values.append(_from_json(payload.decode()))
            except (ValueError, RecursionError):
                continue
            readable.append(task)
        return values, readable
