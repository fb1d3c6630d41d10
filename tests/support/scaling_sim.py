"""A run in discrete time, in memory: what ``core.scaling`` does to a backlog, to workers that start cold, and
to retries that wait out a delay. No clock and no I/O; the same scenario gives the same course every time.

It shows scaling what the broker would: ``running`` contains delayed retries, and retries that are due never
count as waiting. Releasing holds at ``max_waiting``, and retries are charged to the same bucket. Observations
come at any phase of the releases, or, with ``right_after_release``, at the moment at which they mislead most.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from jobrun_operator.core.rates import RateWindow
from jobrun_operator.core.scaling import Observation, ScaleReason, ScalingHistory, ScalingSettings, decide

_TICK = 0.05


@dataclass(frozen=True)
class Scenario:
    """``service`` and ``retry_delay`` draw seconds; ``fails`` says whether an attempt ending at a time fails."""

    settings: ScalingSettings
    total: int
    service: Callable[[float, random.Random], float]
    asked_rate: float | None = None
    fails: Callable[[float, random.Random], bool] = lambda _now, _random: False
    retry_delay: Callable[[random.Random], float] = lambda random: random.uniform(0, 5)
    max_attempts: int = 4
    cold_start_seconds: float = 5.0
    max_waiting: int = 10_000
    max_outstanding: int = 50_000
    release_every_seconds: float = 0.25
    decide_every_seconds: float = 1.0
    right_after_release: bool = False
    start_replicas: int = 0
    lose_workers_at: float | None = None
    """All workers are killed; what they held is delivered again 30 s later, and new ones start cold."""
    seed: int = 1


@dataclass(frozen=True)
class Sample:
    at: float
    replicas: int
    ready: int
    waiting: int
    outstanding: int
    released: int
    reason: ScaleReason


@dataclass(frozen=True)
class Course:
    """What happened, one sample per decision."""

    samples: tuple[Sample, ...]
    finished_at: float | None
    """When the last task was finished; None where the time ran out first."""

    def between(self, start: float, end: float) -> tuple[Sample, ...]:
        return tuple(sample for sample in self.samples if start <= sample.at < end)

    def replicas(self, start: float, end: float) -> list[int]:
        return [sample.replicas for sample in self.between(start, end)]

    def changes(self, start: float, end: float) -> int:
        """Scale events in this time."""
        course = self.replicas(start, end)
        return sum(before != after for before, after in pairwise(course))

    def rate(self, start: float, end: float) -> float:
        """Tasks released per second in this time."""
        samples = self.between(start, end)
        return (samples[-1].released - samples[0].released) / (samples[-1].at - samples[0].at)


@dataclass
class _Run:
    scenario: Scenario
    random: random.Random
    released: int = 0
    finished: int = 0
    attempts: int = 0
    waiting: int = 0
    tokens: float = 0.0
    starts: list[float] = field(default_factory=list)  # a worker each: the time from which it is ready
    held: list[tuple[float, int]] = field(default_factory=list)  # (end, failures so far): in a slot
    delayed: list[tuple[float, int]] = field(default_factory=list)  # (due, failures so far)
    due: deque[int] = field(default_factory=deque)

    @property
    def outstanding(self) -> int:
        return self.released - self.finished

    def ready(self, now: float) -> int:
        return sum(start <= now for start in self.starts)

    def release(self, elapsed: float) -> None:
        sizes = [
            self.scenario.total - self.released,
            self.scenario.max_waiting - self.waiting,
            self.scenario.max_outstanding - self.outstanding,
        ]
        rate = self.scenario.asked_rate
        if rate is not None:
            self.tokens = min(max(1.0, rate), self.tokens + rate * elapsed)
            sizes.append(int(self.tokens))
        size = max(0, min(sizes))
        self.tokens -= size
        self.released += size
        self.waiting += size

    def work(self, now: float) -> None:
        """End what has ended, then fill free slots: retries that are due first, as the broker delivers
        them."""
        while self.held and self.held[0][0] <= now:
            _, failures = heapq.heappop(self.held)
            self.attempts += 1
            if not self.scenario.fails(now, self.random) or failures + 1 == self.scenario.max_attempts:
                self.finished += 1
                continue
            heapq.heappush(self.delayed, (now + self.scenario.retry_delay(self.random), failures + 1))
        while self.delayed and self.delayed[0][0] <= now:
            self.due.append(heapq.heappop(self.delayed)[1])
        free = self.ready(now) * self.scenario.settings.concurrency - len(self.held)
        while free > 0 and (self.due or self.waiting):
            failures = self.due.popleft() if self.due else 0
            if failures:
                self.tokens -= 1
            else:
                self.waiting -= 1
            free -= 1
            heapq.heappush(self.held, (now + self.scenario.service(now, self.random), failures))

    def scale(self, replicas: int, now: float) -> None:
        """More start cold; fewer: those that came last go, and finish what they hold."""
        del self.starts[replicas:]
        self.starts += [now + self.scenario.cold_start_seconds] * (replicas - len(self.starts))

    def lose_workers(self, now: float) -> None:
        for _, failures in self.held:
            heapq.heappush(self.delayed, (now + 30.0, max(1, failures)))
        self.held.clear()
        self.starts = [now + self.scenario.cold_start_seconds for _ in self.starts]


def simulate(scenario: Scenario, seconds: float) -> Course:
    """The course of ``scenario``, until everything is finished and scaled down again or ``seconds`` are
    over."""
    run = _Run(scenario, random.Random(scenario.seed))
    run.scale(scenario.start_replicas, -scenario.cold_start_seconds)
    history, replicas = ScalingHistory(), scenario.start_replicas
    releases, completions = RateWindow(), RateWindow()
    samples: list[Sample] = []
    finished_at: float | None = None
    lost = scenario.lose_workers_at is None
    per_release = round(scenario.release_every_seconds / _TICK)
    per_decision = round(scenario.decide_every_seconds / _TICK)
    decision_at = 0
    for tick in range(round(seconds / _TICK)):
        now = tick * _TICK
        if not lost and scenario.lose_workers_at is not None and now >= scenario.lose_workers_at:
            run.lose_workers(now)
            lost = True
        if tick % per_release == 0:
            run.release(scenario.release_every_seconds)
        run.work(now)
        if run.finished == scenario.total:
            finished_at = now if finished_at is None else finished_at
            if replicas == scenario.settings.min_replicas:
                break
        if tick != decision_at:
            continue
        decision_at += per_decision
        if not scenario.right_after_release:
            decision_at += run.random.randrange(per_release)
        releases.add(now, run.released)
        completions.add(now, run.attempts)
        observed = Observation(
            asked_rate=scenario.asked_rate,
            release_rate=releases.rate(now) or 0.0,
            waiting=run.waiting,
            outstanding=run.outstanding,
            completion_rate=completions.rate(now),
            running=run.outstanding - run.waiting,
            replicas=replicas,
            ready=run.ready(now),
            more_to_release=run.released < scenario.total,
            remaining=scenario.total - run.released,
        )
        decision, history = decide(scenario.settings, observed, history, now)
        replicas = decision.replicas
        run.scale(replicas, now)
        samples.append(
            Sample(now, replicas, observed.ready, run.waiting, run.outstanding, run.released, decision.reason)
        )
    return Course(tuple(samples), finished_at)
