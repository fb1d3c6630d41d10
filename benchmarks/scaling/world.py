"""One shape, one way of scaling, one seed: what happened, second by second."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from benchmarks.scaling.clock import Clock
from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.ideal import Prompt
from benchmarks.scaling.jobrun import JobRunScaling
from benchmarks.scaling.keda import Keda, KedaSettings
from benchmarks.scaling.load import Load
from benchmarks.scaling.releaser import PacedRelease, Producer
from benchmarks.scaling.shapes import Shape
from benchmarks.scaling.work import Work
from jobrun_operator.api import JobRun
from jobrun_operator.engine.asked import limits_of, scaling_of
from jobrun_worker.decisions import RetryPolicy

POD_START_SECONDS = 5.0
LONGEST = 20_000.0
"""Simulated seconds after which a run that has not ended is a bug."""


class Way(StrEnum):
    """Of scaling, and of releasing."""

    JOBRUN = "jobrun"
    KEDA = "keda"
    """KEDA in place of JobRun's scaling; the run releases as it always does."""
    PRODUCER = "producer"
    """KEDA, and a producer that publishes at the rate and never looks at the workers."""
    IDEAL = "ideal"
    PROMPT = "prompt"
    """The ideal, but for pods that have to start."""


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    replicas: int
    """As asked for."""
    busy: int
    """Slots in use."""
    oldest: float
    """Seconds since the oldest waiting task was released, or its retry was due."""
    overdue: float
    """Seconds since the first task that has not begun was due by the asked rate."""


@dataclass(frozen=True, slots=True)
class Course:
    samples: tuple[Sample, ...]
    """One a second."""
    drained_at: float
    changes: tuple[tuple[float, int], ...]
    """(time, replicas) at each scale event, the first one included."""
    replica_seconds: float
    """Until the last pod has gone."""
    replica_seconds_drained: float
    """Until the last task was finished."""
    starts: tuple[float, ...]
    """Of all attempts."""


def simulate(shape: Shape, way: Way, seed: int, seeds: int = 1) -> Course:
    """The whole run, until its last pod has gone. KEDA polls first in the ``seed``-th of ``seeds`` parts of its
    interval."""
    load = shape.load(seed)
    return _World(shape, way, load, random.Random(seed), (seed % seeds + 0.5) / seeds).play()


class _World:
    def __init__(self, shape: Shape, way: Way, load: Load, drawn: random.Random, phase: float) -> None:
        self._run = first = shape.runs[0][1]
        self._load, self._way = load, way
        self._clock = Clock()
        start_seconds = 0.0 if way is Way.IDEAL else POD_START_SECONDS
        self._fleet = Fleet(self._clock, shape.concurrency, start_seconds)
        retry = first.spec.retry
        policy = RetryPolicy(retry.max_attempts, retry.initial_delay_seconds, retry.max_delay_seconds)
        self._work = Work(self._clock, self._fleet, load, policy)
        self._samples: list[Sample] = []
        self._release: PacedRelease | None = None
        self._wake: Callable[[], None] = lambda: None
        if way is Way.PRODUCER:
            Producer(self._clock, self._work, load.due)
        else:
            self._release = PacedRelease(self._clock, self._work, self._fleet, on_first=lambda: self._wake())
            for at, run in shape.runs:
                self._clock.at(at, partial(self._edit, run))
        self._scale_by(drawn, phase)
        self._clock.every(1.0, 0.0, self._sample)

    def _scale_by(self, drawn: random.Random, phase: float) -> None:
        clock, fleet, work = self._clock, self._fleet, self._work
        settings = scaling_of(self._run, None)
        most, concurrency = settings.max_replicas, settings.concurrency
        if self._way is Way.JOBRUN:
            assert self._release is not None
            self._wake = JobRunScaling(clock, fleet, work, self._release, settings, self._asked_rate).wake
            return
        if self._release is not None:
            clock.every(1.0, 1.0, self._release.look)  # the engine looks at its run, whoever scales it
        if self._way is Way.IDEAL:
            fleet.scale(most)
        elif self._way is Way.PROMPT:
            Prompt(fleet, work, most, concurrency, paced=self._asked_rate() is not None)
        else:
            keda = KedaSettings(max_replicas=most)
            poll_at, sync_at = phase * keda.polling_interval, drawn.random() * keda.sync_period
            Keda(clock, fleet, work, keda, poll_at, sync_at)

    def _asked_rate(self) -> float | None:
        return self._run.spec.rate_per_second(self._load.total)

    def _edit(self, run: JobRun) -> None:
        self._run = run
        assert self._release is not None
        self._release.limit(limits_of(run, self._load.total))
        self._wake()

    def _sample(self) -> None:
        work, now = self._work, self._clock.now
        due = self._load.due[work.begun] if work.begun < work.total else now
        self._samples.append(
            Sample(now, self._fleet.replicas, self._fleet.busy, work.oldest(), max(0.0, now - due))
        )

    def play(self) -> Course:
        work, fleet = self._work, self._fleet
        self._clock.run(lambda: work.finished == work.total, LONGEST)
        drained_at, cost = self._clock.now, fleet.spent()
        if self._way in (Way.IDEAL, Way.PROMPT):
            fleet.scale(0)
        self._clock.run(lambda: fleet.empty, LONGEST)
        return Course(
            samples=tuple(self._samples),
            drained_at=drained_at,
            changes=tuple(fleet.changes[1:]),
            replica_seconds=fleet.replica_seconds,
            replica_seconds_drained=cost,
            starts=tuple(work.starts),
        )
