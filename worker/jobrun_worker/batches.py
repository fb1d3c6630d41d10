"""Tasks on their way to a batch handler: gathered for a moment, called together, ended each on its own.

A batch begins as soon as a call is free and it is full, or its first task has waited for ``LINGER``. While all calls
are busy what comes waits, and makes the next batch the fuller.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from jobrun_worker.gate import Gate
from jobrun_worker.held import Held

LINGER = 0.05
"""Seconds that the first task of a batch waits for others at the most, where a call is free."""


class Batches:
    def __init__(
        self,
        gate: Gate,
        size: int,
        call: Callable[[list[Held]], Coroutine[Any, Any, None]],
        hand_back: Callable[[Held], Coroutine[Any, Any, None]],
    ) -> None:
        """``call`` has been let through ``gate``, and leaves it; ``hand_back`` is for those that are not let through.
        Neither may fail."""
        self._gate = gate
        self._size = size
        self._call = call
        self._hand_back = hand_back
        self._waiting: deque[Held] = deque()
        self._came = asyncio.Event()
        self._full = asyncio.Event()
        self._going: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def add(self, held: Held) -> None:
        self._waiting.append(held)
        waiting = len(self._waiting)
        if waiting == 1:
            self._came.set()
        if waiting >= self._size:
            self._full.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._came.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await self._full.wait()
            entered = await self._gate.enter()
            number = self._size if entered else len(self._waiting)
            batch = [self._waiting.popleft() for _ in range(min(number, len(self._waiting)))]
            if not self._waiting:
                self._came.clear()
            if len(self._waiting) < self._size:
                self._full.clear()
            if entered:
                self._begin(self._call(batch), batch)
            else:
                for held in batch:
                    self._begin(self._hand_back(held), [held])

    def _begin(self, work: Coroutine[Any, Any, None], batch: list[Held]) -> None:
        runner = self._loop.create_task(work)
        for held in batch:
            held.runner = runner
        self._going.add(runner)  # the loop itself keeps weak references only
        runner.add_done_callback(self._going.discard)
