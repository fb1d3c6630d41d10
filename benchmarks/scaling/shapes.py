"""The loads that scaling is judged on: each is a manifest, edits of its rate, and what its tasks are like."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.scaling.load import Load, Pace
from jobrun_operator.api import JobRun

MINUTE = 60


@dataclass(frozen=True)
class Shape:
    """``rates``: (from this second on, tasks a minute); none: as fast as workers keep up."""

    name: str
    about: str
    total: int
    service: Callable[[random.Random], float]
    """Draws the seconds of an attempt."""
    rates: tuple[tuple[float, int], ...] = ()
    fail_share: float = 0.0
    max_replicas: int = 10
    concurrency: int = 16

    @cached_property
    def runs(self) -> tuple[tuple[float, JobRun], ...]:
        """The run as it is applied, and as it is edited later."""
        return tuple((at, self._run(per_minute)) for at, per_minute in self.rates or ((0.0, None),))

    def _run(self, per_minute: int | None) -> JobRun:
        spec: dict[str, Any] = {
            "tasks": {"count": self.total},
            "worker": {"image": "worker", "python": "m:f", "concurrency": self.concurrency},
            "scaling": {"maxReplicas": self.max_replicas},
        }
        if per_minute is not None:
            spec["rate"] = {"tasks": per_minute, "periodSeconds": MINUTE}
        return JobRun.from_wire(
            {
                "apiVersion": "jobrun.dev/v1alpha1",
                "kind": "JobRun",
                "metadata": {"name": self.name},
                "spec": spec,
            }
        )

    def load(self, seed: int) -> Load:
        paces = [Pace(at, run.spec.rate_per_second(self.total)) for at, run in self.runs]
        attempts = self.runs[0][1].spec.retry.max_attempts
        return Load(self.total, paces, self.service, self.fail_share, attempts, seed)


def about(seconds: float) -> Callable[[random.Random], float]:
    """Exponential: the most uneven of the usual service times."""
    return lambda drawn: drawn.expovariate(1 / seconds)


def within(least: float, most: float) -> Callable[[random.Random], float]:
    return lambda drawn: drawn.uniform(least, most)


def _day(minutes: int, low: int, high: int) -> tuple[tuple[float, int], ...]:
    """A day in so many minutes: the rate (a minute) rises and falls as a cosine, edited once a minute."""
    middle, swing = (low + high) / 2, (high - low) / 2
    return tuple(
        (MINUTE * minute, round(middle - swing * math.cos(2 * math.pi * minute / minutes)))
        for minute in range(minutes)
    )


def _tasks(rates: tuple[tuple[float, int], ...], end: float) -> int:
    """That the rates allow until ``end``."""
    ends = [*(at for at, _ in rates[1:]), end]
    return sum(
        round(per_minute * (until - at) / MINUTE) for (at, per_minute), until in zip(rates, ends, strict=True)
    )


_DAY = _day(30, low=120, high=1800)
_SURGE = ((0.0, 1200), (600.0, 12_000), (720.0, 1200))

SHAPES = (
    Shape("steady", "20 tasks a second for 10 minutes, 2 s each", 12_000, about(2.0), ((0.0, 1200),)),
    Shape("burst", "10,000 tasks at once, 1 s each, no rate", 10_000, about(1.0)),
    Shape(
        "diurnal",
        "a day in half an hour: from 2 to 30 tasks a second and back, the rate edited each minute, 2 s each",
        _tasks(_DAY, 30 * MINUTE),
        about(2.0),
        _DAY,
    ),
    Shape("slow", "2 tasks a second for 15 minutes, 45 to 75 s each", 1800, within(45, 75), ((0.0, 120),)),
    Shape(
        "failing",
        "5,000 tasks at once, 1 s each, of the attempts 30 % fail",
        5000,
        about(1.0),
        fail_share=0.3,
    ),
    Shape("cold-start", "100 tasks, 10 a second, 0.5 s each, on nothing", 100, about(0.5), ((0.0, 600),)),
    Shape(
        "surge",
        "20 tasks a second, for two minutes 200, then 20 again, 1 s each",
        _tasks(_SURGE, 1020.0),
        about(1.0),
        _SURGE,
        max_replicas=20,
    ),
)
