"""What nothing can beat: all the slots that the run may have, always there.

``Prompt`` is the same for pods that take a while to start: each is asked for the moment that a task finds no
slot, neither free nor on its way, and stays. No scaling can be sooner without knowing the future.
"""

from __future__ import annotations

import math

from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.work import Work


class Prompt:
    """Pods from the moment that they are needed."""

    def __init__(self, fleet: Fleet, work: Work, max_replicas: int, concurrency: int, *, paced: bool) -> None:
        self._fleet, self._work = fleet, work
        self._max_replicas, self._concurrency = max_replicas, concurrency
        work.on_more = self._grow
        if paced:
            fleet.scale(1)  # a paced run asks for its first worker before it releases

    def _grow(self) -> None:
        wanted = math.ceil(self._work.runnable / self._concurrency)
        self._fleet.scale(max(self._fleet.replicas, min(self._max_replicas, wanted)))
