"""What a course is judged by, and how far it is from the ideal's."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.scaling.shapes import Shape
from benchmarks.scaling.world import Course, Way, simulate


@dataclass(frozen=True, slots=True)
class Measures:
    """Of one course, or the means of several."""

    drained: float
    """Seconds from the start until the last task was finished."""
    oldest: float
    """99th percentile over these seconds of the age of the oldest waiting task."""
    overdue: float
    """The same of the time since the first task that has not begun was due."""
    replica_seconds: float
    """Until the last pod has gone."""
    replica_seconds_drained: float
    scale_events: float
    busiest: float
    """Attempts begun in the busiest ten seconds."""


def measure(course: Course) -> Measures:
    samples = [sample for sample in course.samples if sample.at <= course.drained_at]
    return Measures(
        drained=course.drained_at,
        oldest=percentile([sample.oldest for sample in samples], 0.99),
        overdue=percentile([sample.overdue for sample in samples], 0.99),
        replica_seconds=course.replica_seconds,
        replica_seconds_drained=course.replica_seconds_drained,
        scale_events=len(course.changes),
        busiest=busiest(course.starts, 10.0),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """By the nearest rank: the smallest value that ``share`` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def busiest(starts: Sequence[float], seconds: float) -> int:
    """The most that lie within any so many seconds."""
    return max(bisect_left(starts, start + seconds) - number for number, start in enumerate(starts))


def mean(measures: Iterable[Measures]) -> Measures:
    every = list(measures)
    return Measures(*(fmean(getattr(one, field) for one in every) for field in Measures.__slots__))


def compare(shape: Shape, seeds: int, ways: Sequence[Way] = tuple(Way)) -> dict[Way, Measures]:
    """The means over so many seeds."""
    return {way: mean(measure(simulate(shape, way, seed, seeds)) for seed in range(seeds)) for way in ways}
