"""The half-open state of a run's circuit breaker, as each worker keeps it: after the hold a few tasks, one at a time.

The first success ends the trial of this worker; where ``TASKS`` attempts fail before there is one, the run is held
again for as long. What fails in a trial is tried again only after several such holds: an outage then takes an attempt
from many tasks, instead of all attempts from a few. And a task that has one attempt left is spared once, as long.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from jobrun_worker.hold import Hold

TASKS = 3
REST = 10.0
"""Holds for which a task that has failed in a trial stays away."""
SPREAD = 6.0
"""Part of the hold over which workers begin their trials: the first ones find out for the others."""


class Trial:
    def __init__(self, hold: Hold, resize: Callable[[bool], None]) -> None:
        """``resize`` is told whether tasks are to be taken one at a time, or as many as usual."""
        self._hold = hold
        self._resize = resize
        self._open_seconds = 0.0
        self._failures = 0
        self._spared: set[int] = set()

    @property
    def on(self) -> bool:
        """Not while the hold before it lasts: what ends then has begun before."""
        return self._open_seconds > 0 and not self._hold.on

    @property
    def rest(self) -> float:
        """Seconds for which a task that fails now is to stay away at the least."""
        return REST * self._open_seconds if self.on else 0.0

    def follow(self, open_seconds: float) -> float:
        """A trial is to follow a hold of ``open_seconds``. Returns for how many seconds more this worker stays out."""
        self._open_seconds, self._failures = open_seconds, 0
        self._resize(True)
        return random.uniform(0.0, open_seconds / SPREAD)  # noqa: S311  # spreads load, keeps no secret

    def spares(self, index: int) -> bool:
        """Whether a task that has one attempt left is not for this trial. The next time it is: where all that is left
        to do fails, that comes to an end."""
        if not self.on or index in self._spared:
            return False
        self._spared.add(index)
        return True

    def succeeded(self) -> None:
        if self._open_seconds and self.on:
            self._open_seconds = 0.0
            self._spared.clear()
            self._resize(False)

    def failed(self) -> float:
        """Seconds for which the run is to be held again; 0: not for this one."""
        if not self.on:
            return 0.0
        self._failures += 1
        return self._open_seconds if self._failures >= TASKS else 0.0
