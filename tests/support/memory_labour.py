"""What workers of a run do, on the broker in memory: as many at a time as they have slots for, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from jobrun_operator.engine.ports import Workers
from jobrun_operator.errors import JobRunError
from jobrun_worker.wire import AttemptRecord, Outcome
from support.memory_broker import MemoryBroker, Taken


@dataclass
class Labour:
    """``main`` works for ever. ``fails`` says of an index and an attempt whether that fails."""

    broker: MemoryBroker
    workers: Workers
    uid: str
    seconds: float = 0.1
    """That a task takes."""
    concurrency: int = 16
    max_attempts: int = 3
    retry_seconds: float = 1.0
    keeps_results: bool = False
    fails: Callable[[int, int], bool] = lambda index, attempt: False
    calls: list[tuple[float, int]] = field(default_factory=list)
    """When each call of the handler began, and for which index."""
    _busy: set[asyncio.Task[None]] = field(default_factory=set)

    async def main(self) -> None:
        while True:
            with contextlib.suppress(JobRunError):  # no API to ask, no broker to take from: later
                state = await self.workers.observe(self.uid)
                free = state.ready * self.concurrency - len(self._busy)
                for task in await self.broker.take(self.uid, max(0, free)):
                    doing = asyncio.create_task(self._do(task))
                    self._busy.add(doing)
                    doing.add_done_callback(self._busy.discard)
            await asyncio.sleep(0.05)

    async def _do(self, task: Taken) -> None:
        self.calls.append((asyncio.get_running_loop().time(), task.index))
        await asyncio.sleep(self.seconds)
        failed = self.fails(task.index, task.delivered)
        if failed and task.delivered < self.max_attempts:
            record = AttemptRecord(failures=task.delivered, error=f"attempt {task.delivered}")
            await self.broker.store_attempt(self.uid, task.index, record)
            await asyncio.sleep(self.retry_seconds)
            await self.broker.nak(task)
            return
        if failed or self.keeps_results:
            while self.broker.refuses_outcomes:  # noqa: ASYNC110  # as a worker does: its task stays with it
                await asyncio.sleep(0.1)
            await self.broker.store_outcome(self.uid, _outcome(task, succeeded=not failed))
        await self.broker.ack(task)


def _outcome(task: Taken, *, succeeded: bool) -> Outcome:
    return Outcome(
        index=task.index,
        succeeded=succeeded,
        body=b"null" if succeeded else task.body,
        attempts=task.delivered,
        worker="w",
        released_at="",
        started_at="",
        finished_at="",
        reason="" if succeeded else "MaxAttempts",
        error="" if succeeded else "boom",
    )
