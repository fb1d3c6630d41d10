"""The time limit of running handlers, at the price of two dictionary operations a task.

All tasks of a worker have the same limit, so the one that started first is due first: a dictionary in order of
insertion is the queue, and one timer watches its head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobrun_worker.held import Held


class Deadlines:
    def __init__(self, limit: float, expired: Callable[[Held], None]) -> None:
        """``limit`` is in seconds; ``expired`` is called once for each task that is over it."""
        self._limit = limit
        self._expired = expired
        self._running: dict[Held, None] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, held: Held) -> None:
        held.deadline = self._loop.time() + self._limit
        self._running[held] = None
        if self._timer is None:
            self._timer = self._loop.call_at(held.deadline, self._tick)

    def discard(self, held: Held) -> None:
        self._running.pop(held, None)
        held.deadline = 0.0

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._running.clear()

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        due = []
        for held in self._running:
            if held.deadline > now:
                self._timer = self._loop.call_at(held.deadline, self._tick)
                break
            due.append(held)
        for held in due:
            self._running.pop(held, None)
            self._expired(held)
