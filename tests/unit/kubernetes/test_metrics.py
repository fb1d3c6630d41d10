"""Metrics of runs are read off their status, and say nothing where there is nothing to say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest

from jobrun_operator.api import JobRun, JobRunStatus, Phase, TaskCounts
from jobrun_operator.metrics import OperatorMetrics, release_lag
from support.manifests import manifest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RATE = {"rate": {"tasks": 10, "periodSeconds": 1}}


def run(spec: dict[str, Any], released: int, *, phase: Phase = Phase.RUNNING, suspended: int = 0) -> JobRun:
    status = JobRunStatus(
        phase=phase,
        start_time=NOW - timedelta(seconds=60),
        suspended_seconds=suspended,
        replicas=3,
        ready_replicas=2,
        tasks=TaskCounts(total=10_000, released=released, succeeded=released - 5, failed=1, redeliveries=7),
    )
    return JobRun.from_wire(manifest(**spec)).with_status(status)


@pytest.mark.parametrize(
    ("one", "lag"),
    [
        (run(RATE, 600), 0),
        (run(RATE, 500), 10),
        (run(RATE, 700), 0),
        (run(RATE, 500, suspended=10), 0),
        (run(RATE, 10_000), None),
        (run(RATE, 500, phase=Phase.SUSPENDED), None),
        (run({}, 500), None),
    ],
)
def test_release_lag(one: JobRun, lag: float | None) -> None:
    assert release_lag(one, NOW) == lag


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        ("$JS.API.STREAM.INFO.jobrun_0001", "STREAM.INFO"),
        ("$JS.API.CONSUMER.INFO.jobrun_0001.workers", "CONSUMER.INFO"),
        ("$JS.API.DIRECT.GET.jobrun_0001.jobrun.out.0001.dead.7", "DIRECT.GET"),
        ("$JS.API.INFO", "INFO"),
        ("jobrun.work.0001", "PUBLISH"),
        ("$KV.jobrun_status.shop.backfill", "PUBLISH"),
    ],
)
def test_requests_to_the_broker_are_told_by_their_kind_and_outcome(subject: str, kind: str) -> None:
    metrics = OperatorMetrics()
    metrics.broker_request(subject, "ok", 0.5)
    metrics.broker_request(subject, "ok", 0.25)
    metrics.broker_request(subject, "BrokerUnavailable", 5.0)
    for outcome, seconds in (("ok", 0.75), ("BrokerUnavailable", 5.0)):
        labels = {"kind": kind, "outcome": outcome}
        assert metrics.registry.get_sample_value("jobrun_broker_request_seconds_sum", labels) == seconds


def test_what_is_shown_of_a_run() -> None:
    metrics = OperatorMetrics()
    metrics.runs = lambda: [run(RATE, 500)]
    lines = generate_latest(metrics.registry).decode().splitlines()
    where = 'name="backfill",namespace="default"'
    assert f'jobrun_tasks{{{where},state="succeeded"}} 495.0' in lines
    assert f"jobrun_released_total{{{where}}} 500.0" in lines
    assert f"jobrun_redeliveries_total{{{where}}} 7.0" in lines
    assert f'jobrun_replicas{{kind="desired",{where}}} 3.0' in lines
    assert f'jobrun_phase{{{where},phase="Running"}} 1.0' in lines
    assert f"jobrun_oldest_waiting_seconds{{{where}}} 0.0" in lines
    metrics.runs = list
    assert "backfill" not in generate_latest(metrics.registry).decode()


def test_the_oldest_waiting_task_is_shown_where_the_broker_has_said() -> None:
    waits = run(RATE, 500)
    assert waits.status.tasks is not None
    tasks = waits.status.tasks.model_copy(update={"waiting": 3})
    waits = waits.with_status(waits.status.model_copy(update={"tasks": tasks}))
    metrics = OperatorMetrics()
    metrics.runs = lambda: [waits]
    assert "jobrun_oldest_waiting_seconds{" not in generate_latest(metrics.registry).decode()
    metrics.oldest_waiting = {waits.uid: 7.5}
    assert 'jobrun_oldest_waiting_seconds{name="backfill",namespace="default"} 7.5' in (
        generate_latest(metrics.registry).decode()
    )
