"""Simulated time: actions in the order of their times, and of their planning where times are the same."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Clock:
    """``now`` in seconds from the start of the run."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Plan ``action``; a time that has passed means now."""
        self._count += 1
        heapq.heappush(self._planned, (max(time, self.now), self._count, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.at(self.now + seconds, action)

    def every(self, seconds: float, first: float, action: Callable[[], None]) -> None:
        """At ``first`` and then for ever, by multiplication: sums of floats would drift."""

        def tick(number: int) -> None:
            action()
            self.at(first + (number + 1) * seconds, lambda: tick(number + 1))

        self.at(first, lambda: tick(0))

    def run(self, done: Callable[[], bool], limit: float) -> None:
        """Until ``done`` or ``limit`` seconds; raises TimeoutError at the limit: a run that never ends is a bug."""
        while not done():
            time, _, action = heapq.heappop(self._planned)
            if time > limit:
                raise TimeoutError(f"not done after {limit} simulated seconds")
            self.now = time
            action()
