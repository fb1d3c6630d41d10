"""Every metric of the operator, defined once with its meaning; ``docs/metrics.md`` is generated from this module.

What is known of runs is read off their status when the metrics are asked for, so that it can't drift from what users
see; what the process does is counted as it does it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from jobrun_operator.api import ConditionType, JobRun, Phase

_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds."""


@dataclass(frozen=True, slots=True)
class RunMetric:
    """A metric with a value for each run, labelled by namespace and name; ``labels`` come on top."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    counter: bool = False


TASKS = RunMetric("jobrun_tasks", "Tasks of a run by state: total, released, outstanding, waiting, "
                  "succeeded or failed.", ("state",))  # fmt: skip
RELEASED = RunMetric("jobrun_released_total", "Tasks of a run that were handed to the broker.", counter=True)
REDELIVERIES = RunMetric(
    "jobrun_redeliveries_total", "Deliveries beyond the first of each task of a run.", counter=True
)
REPLICAS = RunMetric("jobrun_replicas", "Workers of a run: desired or ready.", ("kind",))
PHASE = RunMetric("jobrun_phase", "1 for the phase that a run is in.", ("phase",))

RELEASE_LAG = RunMetric(
    "jobrun_release_lag_seconds",
    "How far the releases of a running run with a rate are behind what the rate alone would have allowed since its "
    "start, suspensions not counted: it grows while workers or the broker don't keep up.",
)

OLDEST_WAITING = RunMetric(
    "jobrun_oldest_waiting_seconds",
    "For how long the oldest released task of a run has waited for a worker; 0 where none waits, absent while the "
    "broker does not say.",
)

HELD = RunMetric("jobrun_held", "1 while a run is held because a handler is throttled, else 0.")

RUN_METRICS = (TASKS, RELEASED, REDELIVERIES, REPLICAS, PHASE, RELEASE_LAG, OLDEST_WAITING, HELD)


class OperatorMetrics:
    """In a registry of its own, so that a process can hold several and tests share nothing."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.runs: Callable[[], Iterable[JobRun]] = lambda: ()
        """Gives the runs that are known."""
        self.oldest_waiting: Mapping[str, float] = {}
        """Seconds by uid, of runs with waiting tasks, as last asked for."""
        self.registry.register(_RunCollector(self))
        self.api_seconds = Histogram(
            "jobrun_api_request_seconds",
            "Time of requests to the Kubernetes API, by verb, resource and status code (0: no answer).",
            ["verb", "resource", "code"],
            buckets=_LATENCIES,
            registry=self.registry,
        )
        self.broker_seconds = Histogram(
            "jobrun_broker_request_seconds",
            "Time of requests to the broker, by kind and outcome: ok or the kind of error.",
            ["kind", "outcome"],
            buckets=_LATENCIES,
            registry=self.registry,
        )
        self.step_seconds = Histogram(
            "jobrun_engine_step_seconds",
            "Time of one look at a run: reading its streams, deciding, scaling, writing its status.",
            buckets=_LATENCIES,
            registry=self.registry,
        )
        self.scale_decisions = Counter(
            "jobrun_scale_decisions_total",
            "Changes of the number of workers that was asked for, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.breaker_trips = Counter(
            "jobrun_circuit_breaker_trips_total",
            "Times that a circuit breaker has held a run, trials that failed not included.",
            registry=self.registry,
        )
        self.api_writes_held = Gauge(
            "jobrun_api_writes_waiting",
            "Writes to the Kubernetes API that wait for the write budget.",
            registry=self.registry,
        )
        self.broker_connected = Gauge(
            "jobrun_broker_connected",
            "1 while the operator is connected to the broker.",
            registry=self.registry,
        )
        self.fleet_beat = Gauge(
            "jobrun_fleet_beat_age_seconds",
            "Seconds since the loop over all runs last came around.",
            registry=self.registry,
        )
        self.watch_behind = Gauge(
            "jobrun_watch_behind_seconds",
            "Seconds for which the watch has owed an event that a list has shown.",
            registry=self.registry,
        )
        self.watch_starts = Counter(
            "jobrun_watch_starts_total", "Times that watching JobRuns was begun.", registry=self.registry
        )
        self._broker_requests: dict[tuple[str, str], Histogram] = {}
        """Of each kind and outcome so far: to find it by its labels takes as long as to observe something."""

    def broker_request(self, subject: str, outcome: str, seconds: float) -> None:
        """A request to the broker has ended; ``outcome``: ok or the kind of error."""
        # $JS.API.STREAM.INFO.<stream> is STREAM.INFO; what is published is called so.
        kind = ".".join(subject.split(".", 4)[2:4]) if subject.startswith("$JS.API.") else "PUBLISH"
        known = self._broker_requests.get((kind, outcome))
        if known is None:
            known = self._broker_requests[kind, outcome] = self.broker_seconds.labels(kind, outcome)
        known.observe(seconds)


class _RunCollector(Collector):
    def __init__(self, metrics: OperatorMetrics) -> None:
        self._metrics = metrics

    def describe(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
        return list(_families().values())

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        families = _families()
        for run in self._metrics.runs():
            where = [run.namespace, run.name]
            status, tasks = run.status, run.status.tasks
            lag = release_lag(run, datetime.now(UTC))
            if lag is not None:
                families[RELEASE_LAG].add_metric(where, lag)
            families[HELD].add_metric(where, float(status.is_true(ConditionType.HELD)))
            families[PHASE].add_metric([*where, (status.phase or Phase.PENDING).value], 1)
            families[REPLICAS].add_metric([*where, "desired"], status.replicas or 0)
            families[REPLICAS].add_metric([*where, "ready"], status.ready_replicas or 0)
            if tasks is None:
                continue
            for state in ("total", "released", "outstanding", "waiting", "succeeded", "failed"):
                families[TASKS].add_metric([*where, state], getattr(tasks, state) or 0)
            waited = self._metrics.oldest_waiting.get(run.uid) if tasks.waiting else 0.0
            if waited is not None:
                families[OLDEST_WAITING].add_metric(where, waited)
            families[RELEASED].add_metric(where, tasks.released)
            families[REDELIVERIES].add_metric(where, tasks.redeliveries)
        yield from families.values()


def release_lag(run: JobRun, now: datetime) -> float | None:
    """Seconds; None for a run without a rate, and one that does not release now."""
    status, tasks = run.status, run.status.tasks
    if status.phase != Phase.RUNNING or status.start_time is None or tasks is None or tasks.total is None:
        return None
    per_second = run.spec.rate_per_second(tasks.total)
    if per_second is None or tasks.released >= tasks.total:
        return None
    active = (now - status.start_time).total_seconds() - (status.suspended_seconds or 0)
    return max(0.0, active - tasks.released / per_second)


def _families() -> dict[RunMetric, GaugeMetricFamily | CounterMetricFamily]:
    return {
        metric: (CounterMetricFamily if metric.counter else GaugeMetricFamily)(
            metric.name, metric.meaning, labels=["namespace", "name", *metric.labels]
        )
        for metric in RUN_METRICS
    }


def document() -> str:
    """The documentation of all metrics, as Markdown."""
    lines = [
        "# Metrics of the operator",
        "",
        "Generated by `python -m jobrun_operator.metrics`; served at `/metrics` on the operator's port, together with",
        "the usual `process_*` (CPU, memory, open files).",
        "",
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    for metric in RUN_METRICS:
        labels = ", ".join(f"`{label}`" for label in ("namespace", "name", *metric.labels))
        kind = "counter" if metric.counter else "gauge"
        lines.append(f"| `{metric.name}` | {kind} | {labels} | {metric.meaning} |")
    for value in vars(OperatorMetrics()).values():
        if isinstance(value, (Counter, Gauge, Histogram)):
            name = value._name + ("_total" if isinstance(value, Counter) else "")
            labels = ", ".join(f"`{label}`" for label in value._labelnames)
            lines.append(f"| `{name}` | {value._type} | {labels} | {value._documentation} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
