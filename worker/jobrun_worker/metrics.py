"""Every metric of a worker, defined once with its meaning; the documentation is checked against this module."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
"""Seconds: from a quick call to the longest time limit that is usual."""

SUCCEEDED, FAILED, DEAD, THROTTLED = "succeeded", "failed", "dead", "throttled"
"""Outcomes of an attempt: failed ones are tried again, dead ones are not, throttled ones use no attempt."""


class WorkerMetrics:
    """In a registry of its own, so that a process can hold several and tests share nothing."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.task_seconds = Histogram(
            "jobrun_task_seconds",
            "Time that a handler took for one attempt, by outcome.",
            ["outcome"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.attempts = Counter(
            "jobrun_task_attempts_total",
            "Attempts that ended in this worker, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
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
            "1 while the worker is connected to the broker.",
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
        # Looked up once: a task costs no dictionary of labels.
        self._seconds = {
            outcome: self.task_seconds.labels(outcome) for outcome in (SUCCEEDED, FAILED, DEAD, THROTTLED)
        }
        self._attempts = {
            outcome: self.attempts.labels(outcome) for outcome in (SUCCEEDED, FAILED, DEAD, THROTTLED)
        }

    def attempt(self, outcome: str, seconds: float) -> None:
        self._seconds[outcome].observe(seconds)
        self._attempts[outcome].inc()
