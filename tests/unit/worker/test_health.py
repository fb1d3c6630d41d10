"""Health and readiness, as they follow from a worker's state."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import generate_latest

from jobrun_worker.health import alive, ready
from jobrun_worker.metrics import WorkerMetrics
from jobrun_worker.worker import Worker


def worker(*, draining: bool = False, silent: str = "", pulling: bool = True) -> Worker:
    return cast(
        Worker,
        SimpleNamespace(
            draining=draining,
            broker=SimpleNamespace(unheard=lambda _: silent),
            puller=SimpleNamespace(pulling=pulling, subject="next"),
            beat=100.0,
            beat_limit=30.0,
        ),
    )


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (worker(), ""),
        (worker(draining=True), "draining"),
        (worker(silent="there is no connection"), "there is no connection"),
        (worker(pulling=False), "the broker does not take requests for tasks"),
    ],
)
def test_ready(state: Worker, why: str) -> None:
    assert ready(state) == why


def test_a_worker_whose_keep_alive_stands_still_is_wedged() -> None:
    assert alive(worker(), 130.0) == ""
    assert alive(worker(), 131.0) == "the keep-alive of tasks has not run for 31 s"
    assert alive(worker(silent="there is no connection", draining=True), 101.0) == "", (
        "an outage is no reason to be replaced"
    )


def test_every_metric_has_its_meaning_in_one_sentence() -> None:
    metrics = WorkerMetrics()
    metrics.attempt("succeeded", 0.2)
    page = generate_latest(metrics.registry).decode()
    meanings = [line.split(" ", 3)[3] for line in page.splitlines() if line.startswith("# HELP jobrun_")]
    assert len(meanings) >= 8
    assert all(meaning.endswith(".") and ". " not in meaning for meaning in meanings)
    assert 'jobrun_task_seconds_bucket{le="0.25",outcome="succeeded"} 1.0' in page


def test_attempts_of_one_call_count_each() -> None:
    metrics = WorkerMetrics()
    metrics.attempt("succeeded", 0.2, 40)
    metrics.attempt("succeeded", 2.0)
    page = generate_latest(metrics.registry).decode()
    for line in (
        'jobrun_task_attempts_total{outcome="succeeded"} 41.0',
        'jobrun_task_seconds_bucket{le="0.25",outcome="succeeded"} 40.0',
        'jobrun_task_seconds_count{outcome="succeeded"} 41.0',
        'jobrun_task_seconds_sum{outcome="succeeded"} 10.0',
    ):
        assert line in page
