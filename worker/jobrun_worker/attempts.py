"""One attempt: the handler is called, under the time limit, and whatever it does becomes a ``Result``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from jobrun_worker.deadlines import Deadlines
from jobrun_worker.decisions import Failed, GaveUp, Paused, Result, Succeeded
from jobrun_worker.describe import describe, shorten
from jobrun_worker.handlers import AttemptFailed, Handler
from jobrun_worker.handlers.batch import BatchHandler
from jobrun_worker.held import Held
from jobrun_worker.instructions import Fail, Retry, Throttled
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.task import NO_TASK, Task

log = logging.getLogger(__name__)

INSISTS = 5.0
"""Seconds that a handler has to end once it has been cancelled."""


DONE = Succeeded()


class Attempts:
    def __init__(self, settings: WorkerSettings, handler: Handler, stop: Callable[[str], None]) -> None:
        """``stop`` hears why this process is to be replaced: a handler that can't be ended, memory that is used up."""
        self._settings = settings
        self._handler = handler
        self._stop = stop
        self._deadlines = Deadlines(settings.task_timeout_seconds, self._over_limit)
        self._loop = asyncio.get_running_loop()
        self._abandoned = False
        self._wants_task = handler.wants_task
        self._run = (settings.run, settings.namespace, settings.uid)

    def abandon(self) -> None:
        """From now on a cancellation is the end of the worker, and no result."""
        self._abandoned = True

    def close(self) -> None:
        self._deadlines.close()

    async def run(self, held: Held) -> Result:
        """Call the handler once. Raises CancelledError only after ``abandon``, MemoryError only beside other tasks."""
        held.started_ns = time.time_ns()
        self._deadlines.add(held)
        try:
            body = await self._handler(held.payload, self._task(held))
            result: Result = Succeeded(body) if body else DONE
        except BaseException as error:
            result = self._came_to(held, error)
        finally:
            self._deadlines.discard(held)
        return self._timed_out(held) if held.timed_out else result

    async def run_batch(self, batch: list[Held]) -> list[Result]:
        """Call the handler once for all of them; raises as ``run`` does. What it raises, and its time limit, are about
        each."""
        handler, lead = self._handler, batch[0]
        assert isinstance(handler, BatchHandler)  # noqa: S101  # nothing else makes batches
        now = time.time_ns()
        for held in batch:
            held.started_ns = now
        self._deadlines.add(lead)
        results: list[Result] = []
        try:
            for held, ended in zip(
                batch,
                await handler.call_with([held.payload for held in batch], self._tasks(batch)),
                strict=True,
            ):
                if isinstance(ended, bytes):
                    results.append(Succeeded(ended) if ended else DONE)
                else:
                    results.append(self._came_to(held, ended))
        except BaseException as error:
            results = [self._came_to(lead, error)] * len(batch)
        finally:
            self._deadlines.discard(lead)
        return [self._timed_out(lead)] * len(batch) if lead.timed_out else results

    def _tasks(self, batch: list[Held]) -> list[Task]:
        return [self._task(held) for held in batch] if self._wants_task else [NO_TASK] * len(batch)

    def _task(self, held: Held) -> Task:
        if not self._wants_task:
            return NO_TASK
        run, namespace, uid = self._run
        return Task(held.index, held.attempt, run, namespace, f"{uid}-{held.index}")

    def _came_to(self, held: Held, error: BaseException) -> Result:
        """What a handler that raised ``error`` came to. Raises it where it is nothing of the handler's."""
        match error:
            case asyncio.CancelledError() if not self._abandoned:
                return Failed("CancelledError: the handler was cancelled from within")
            case Retry():
                return Failed(shorten(str(error)), error.after)
            case Fail():
                return GaveUp(shorten(str(error)))
            case Throttled():
                return Paused(error.seconds, shorten(str(error)))
            case AttemptFailed():
                return Failed(shorten(str(error)))
            case MemoryError() if held.alone:
                self._stop(f"task {held.index} used up the memory of this process, so it is replaced")
                return Failed(describe(error))
            case MemoryError():  # whose it was can't be told: the process ends, and each of its tasks runs alone next
                raise error
            case Exception() | SystemExit() | KeyboardInterrupt():
                log.debug("task %d: attempt %d", held.index, held.attempt, exc_info=error)
                return Failed(describe(error))
        raise error

    def _timed_out(self, held: Held) -> Result:
        """Whatever the handler made of its cancellation: what it then returned may be half a result."""
        while held.runner is not None and held.runner.cancelling():
            held.runner.uncancel()
        if self._handler.stuck:
            self._stop(
                "a handler's thread is over its time limit and can't be ended, so this process is replaced"
            )
        return Failed(f"timed out after {self._settings.task_timeout_seconds:g} s")

    def _over_limit(self, held: Held) -> None:
        held.timed_out = True
        if held.runner is not None:
            held.runner.cancel()
        self._loop.call_later(INSISTS, self._still_there, held)

    def _still_there(self, held: Held) -> None:
        if held.deadline:
            self._stop(
                f"the handler of task {held.index} ignores its time limit, so this process is replaced"
            )
