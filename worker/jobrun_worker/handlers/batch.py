"""Batch handlers: ``module:function`` that takes a list of payloads and returns a list of what each came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobrun_worker.handlers import AttemptFailed
from jobrun_worker.handlers.python import PythonHandler, from_json
from jobrun_worker.handlers.results import encode
from jobrun_worker.instructions import Fail
from jobrun_worker.task import Task

Ended = bytes | BaseException
"""What one task of a batch came to: its result as JSON (empty where results are not kept), or what it would have raised
if it had been alone; of a call that was cancelled, ``asyncio.gather(..., return_exceptions=True)`` returns that too."""


class BatchHandler(PythonHandler):
    """``function(payloads)`` or ``function(payloads, tasks)``, sync in threads or async on the worker's loop."""

    async def __call__(self, payload: bytes, task: Task) -> bytes:
        """A batch of one."""
        (ended,) = await self.call_with([payload], [task])
        if isinstance(ended, BaseException):
            raise ended
        return ended

    async def call_with(self, payloads: Sequence[bytes], tasks: Sequence[Task]) -> list[Ended]:
        """In the order of ``payloads``. Raises what the function raises: it is about each task of the batch."""
        values, unreadable = _values(payloads)
        if unreadable:
            tasks = [task for place, task in enumerate(tasks) if place not in unreadable]
        returned: Any = []
        if values:
            returned = await (self._call(values, list(tasks)) if self.wants_task else self._call(values))
        if not isinstance(returned, list | tuple):
            raise AttemptFailed(
                f"a batch handler returns a list, an entry for each task; this is of type {type(returned).__name__}"
            )
        if len(returned) != len(tasks):
            raise AttemptFailed(
                f"a batch handler returns an entry for each task: {len(returned)} for {len(tasks)} tasks"
            )
        ended = [
            one if isinstance(one, BaseException) else self._kept(one) if self._retain else b""
            for one in returned
        ]
        for place in unreadable:
            ended.insert(place, _NOT_JSON)
        return ended

    def _kept(self, one: Any) -> Ended:
        try:
            return encode(one, self._limit)
        except Fail as refusal:
            return refusal


_NOT_JSON = Fail("the payload is not JSON")


def _values(payloads: Sequence[bytes]) -> tuple[list[Any], list[int]]:
    """The payloads that are JSON, and the places of those that are not, in ascending order."""
    values: list[Any] = []
    unreadable: list[int] = []
    for place, payload in enumerate(payloads):
        try:
            values.append(from_json(payload.decode()))
        except (ValueError, RecursionError):
            unreadable.append(place)
    return values, unreadable
