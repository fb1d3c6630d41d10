"""Every metric of a worker, defined once with its meaning; the documentation is checked against this module."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
"""Seconds: from a quick call to the longest time limit that is usual."""

_LIMITS = [*(str(float(limit)) for limit in BUCKETS), "+Inf"]

SUCCEEDED, FAILED, DEAD, THROTTLED = "succeeded", "failed", "dead", "throttled"
"""Outcomes of an attempt: failed ones are tried again, dead ones are not, throttled ones use no attempt."""


class WorkerMetrics:
    """In a registry of its own, so that a process can hold several and tests share nothing."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        attempts = _Attempts()
        self.registry.register(attempts)
        self.attempt = attempts.count
        """Count one that has ended: its outcome, and the seconds that its handler took."""
        self.in_flight = Gauge(
            "jobrun_worker_in_flight",
            "Tasks that this worker holds, running or waiting.",
            registry=self.registry,
        )
        self.running = Gauge(
            "jobrun_worker_running", "Tasks whose handler runs in this worker.", registry=self.registry
        )
        self.slots = Gauge(
            "jobrun_worker_slots", "Tasks that this worker may run at a time.", registry=self.registry
        )
        self.connected = Gauge(
            "jobrun_worker_connected",
            "Connections to the broker that are up, of one for each process of this worker.",
            registry=self.registry,
        )
        self.handed_back = Counter(
            "jobrun_worker_handed_back_total",
            "Tasks that went back to the broker before their handler began.",
            registry=self.registry,
        )
        self.redelivered = Counter(
            "jobrun_worker_redelivered_total",
            "Tasks that came to this worker after an earlier delivery.",
            registry=self.registry,
        )
        self.replaced = Counter(
            "jobrun_worker_processes_replaced_total",
            "Processes of this worker that ended by themselves and were replaced, where it has several.",
            registry=self.registry,
        )


class _Attempts(Collector):
    """The two that every task counts in. The library's own take 3 µs a task for it; this is on the loop alone and needs
    neither their locks nor their look at each bucket."""

    def __init__(self) -> None:
        self._buckets = {
            outcome: [0] * (len(BUCKETS) + 1) for outcome in (SUCCEEDED, FAILED, DEAD, THROTTLED)
        }
        self._seconds = dict.fromkeys(self._buckets, 0.0)

    def count(self, outcome: str, seconds: float, attempts: int = 1) -> None:
        self._buckets[outcome][bisect_left(BUCKETS, seconds)] += attempts
        self._seconds[outcome] += seconds * attempts

    def collect(self) -> Iterator[Metric]:
        took = HistogramMetricFamily(
            "jobrun_task_seconds", "Time that a handler took for one attempt, by outcome.", labels=["outcome"]
        )
        ended = CounterMetricFamily(
            "jobrun_task_attempts", "Attempts that ended in this worker, by outcome.", labels=["outcome"]
        )
        for outcome, counts in self._buckets.items():
            sums = list(accumulate(counts))
            buckets = list(zip(_LIMITS, sums, strict=True))
            took.add_metric([outcome], buckets, self._seconds[outcome])
            ended.add_metric([outcome], sums[-1])
        yield took
        yield ended
