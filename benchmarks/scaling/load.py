"""What a shape's tasks are, drawn once for all that are compared: when each is due, how long an attempt takes,
whether it fails. The same seed gives the same tasks to everyone."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    seconds: float
    """In a slot."""
    fails: bool
    roll: float
    """For the jitter of the delay after it, uniform in [0, 1)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """From ``at`` on, ``per_second`` tasks are due; None: all that is left, at once."""

    at: float
    per_second: float | None


class Load:
    """``total`` tasks."""

    def __init__(
        self,
        total: int,
        paces: Sequence[Pace],
        service: Callable[[random.Random], float],
        fail_share: float,
        max_attempts: int,
        seed: int,
    ) -> None:
        self.total = total
        self.due = due_times(total, paces)
        drawn = random.Random(seed)
        rounds = max_attempts if fail_share else 1
        self._attempts = [
            [Attempt(service(drawn), drawn.random() < fail_share, drawn.random()) for _ in range(total)]
            for _ in range(rounds)
        ]

    def attempt(self, index: int, failures: int) -> Attempt:
        return self._attempts[failures][index]


def due_times(total: int, paces: Sequence[Pace]) -> list[float]:
    """When each task is due by the asked rate alone, from an empty bucket on: the first one after 1 / rate."""
    due: list[float] = []
    allowed = 0.0
    """Tasks that the paces before this one allow."""
    for pace, until in zip(paces, [*(later.at for later in paces[1:]), math.inf], strict=True):
        if pace.per_second is None:
            return due + [pace.at] * (total - len(due))
        while len(due) < total:
            time = pace.at + (len(due) + 1 - allowed) / pace.per_second
            if time > until:
                break
            due.append(time)
        allowed += (until - pace.at) * pace.per_second
    return due
