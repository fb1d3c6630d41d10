"""What is measured, each defined once: its unit and what it says. docs/performance.md explains how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    unit: str
    meaning: str
    trial: str
    """Of which trial it is a reading: one trial may give several."""
    limit: str = ""
    """The measure of the C client that it is compared with, where there is one."""


MEASURES: Mapping[str, Measure] = {
    "release": Measure("tasks/s", "stored and acknowledged, from a count", "release", limit="release"),
    "release-cpu": Measure("s/100k tasks", "processor time of the releasing process", "release"),
    "release-idle-memory": Measure("MiB", "resident memory of that process before it releases", "release"),
    "release-memory": Measure("MiB", "resident memory of the releasing process, at most", "release"),
    "release-records": Measure(
        "tasks/s", "stored and acknowledged, from JSON Lines", "release-records", limit="release-records"
    ),
    "work": Measure(
        "tasks/s", "no-op tasks through one worker process, no results kept", "work", limit="work"
    ),
    "work-cpu": Measure("s/100k tasks", "processor time of that worker process", "work"),
    "work-memory": Measure("MiB", "resident memory of that worker process, at most", "work"),
    "work-processes": Measure(
        "tasks/s",
        "no-op tasks through one worker of two processes, no results kept",
        "work-processes",
        limit="work",
    ),
    "work-processes-cpu": Measure("s/100k tasks", "processor time of those processes", "work-processes"),
    "work-results": Measure(
        "tasks/s", "no-op tasks through one worker process, results kept", "work-results", limit="work"
    ),
    "work-results-cpu": Measure("s/100k tasks", "processor time of that worker process", "work-results"),
    "work-batch": Measure(
        "tasks/s", "no-op tasks through one worker process, in batches", "work-batch", limit="work"
    ),
    "work-batch-cpu": Measure("s/100k tasks", "processor time of that worker process", "work-batch"),
    "start-latency-p50": Measure(
        "ms", "from sending a task to the beginning of its handler, at 50 a second: median", "start-latency"
    ),
    "start-latency-p99": Measure("ms", "the same: 99th percentile", "start-latency"),
    "idle-memory": Measure("MiB", "resident memory of a worker process that is up and idle", "start-latency"),
    "start-up": Measure("s", "from starting a worker to the beginning of a task that waits", "start-up"),
}

TRIALS = tuple(dict.fromkeys(measure.trial for measure in MEASURES.values()))
