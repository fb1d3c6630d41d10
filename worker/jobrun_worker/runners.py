"""Who calls the handlers: an asyncio task for as many tasks as end without a wait, and one for each that waits.

A handler that never waits for anything (a lookup, a sum, a batch that has been filled already) would cost more to
schedule than to run. So one asyncio task, a runner, goes on from task to task. As soon as a handler waits, the runner
waits with it, and the loop, which was told before the handler began, makes another one for what is left.

To a handler there is no difference: it has an asyncio task around it from its first line on, which nothing else uses
meanwhile, can be cancelled, and has the context variables of a new one. A runner whose context is no longer clean, or
which somebody has asked to cancel, ends after its task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from jobrun_worker.held import Held

SLICE = 0.001
"""Seconds for which a runner may go on from task to task before the loop has its turn: to read, to keep alive, and to
write what has ended, so that the broker has something to do meanwhile (0.01 was a tenth slower)."""


class Runners:
    def __init__(self, process: Callable[[Held], Coroutine[Any, Any, None]]) -> None:
        """``process`` may not fail."""
        self._process = process
        self._waiting: deque[Held] = deque()
        self._told = False
        """The loop is going to see to it that what waits has a runner."""
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._clean = copy_context()
        """Of each new runner: whoever tells the loop to make one may have a handler's context around it."""

    def add(self, held: Held) -> None:
        self._waiting.append(held)
        if not self._told:
            self._tell()

    def _tell(self) -> None:
        self._told = True
        self._loop.call_soon(self._relay)

    def _relay(self) -> None:
        self._told = False
        if self._waiting:
            runner = self._loop.create_task(self._run(), context=self._clean.copy())
            self._running.add(runner)  # the loop itself keeps weak references only
            runner.add_done_callback(self._running.discard)

    async def _run(self) -> None:
        runner = asyncio.current_task()
        assert runner is not None  # noqa: S101  # for the type checker
        time, until = self._loop.time, self._loop.time() + SLICE
        waiting = self._waiting
        while waiting:
            held = waiting.popleft()
            if waiting and not self._told:
                self._tell()
            held.runner = runner
            await self._process(held)
            if time() > until or runner.cancelling() or copy_context() != self._clean:
                if waiting and not self._told:
                    self._tell()
                return
