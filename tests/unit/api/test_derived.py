"""What follows from the fields: rates, defaults that depend on others, failure limits, suspension."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrun_operator.api import (
    FailurePolicy,
    Format,
    HandlerKind,
    JobRun,
    Rate,
    Scaling,
    Tasks,
    immutable_change,
)
from support.manifests import manifest, named, worker

TASKS = st.integers(1, 10**9)
SECONDS = st.integers(1, 31_536_000)


def spec(**changes: Any) -> Any:
    return JobRun.from_wire(manifest(**changes)).spec


@pytest.mark.parametrize(
    ("fields", "total", "per_second", "burst", "waiting"),
    [
        ({"tasks": 600, "periodSeconds": 60}, 10**6, 10.0, 10, 20),
        ({"tasks": 1, "periodSeconds": 60}, 10**6, 1 / 60, 1, 1),
        ({"tasks": 3, "periodSeconds": 2}, 10**6, 1.5, 1, 3),
        ({"spreadOverSeconds": 3600}, 300_000, 300_000 / 3600, 83, 166),
        ({"spreadOverSeconds": 3600}, 5, 5 / 3600, 1, 1),
        ({"tasks": 600, "periodSeconds": 60, "burst": 50}, 10**6, 10.0, 50, 20),
    ],
)
def test_rates(fields: dict[str, int], total: int, per_second: float, burst: int, waiting: int) -> None:
    run = spec(rate=fields)
    assert run.rate_per_second(total) == pytest.approx(per_second)
    assert run.rate.effective_burst(total) == burst
    assert run.effective_max_waiting(total) == waiting


def test_without_a_rate() -> None:
    run = spec()
    assert run.rate_per_second(5) is None
    assert run.effective_max_waiting(5) == 10_000
    assert run.least_seconds(10**9) == 0
    assert spec(maxWaiting=7, rate={"tasks": 600, "periodSeconds": 60}).effective_max_waiting(5) == 7


@settings(deadline=None)
@given(TASKS, SECONDS, TASKS)
def test_allowances_are_the_whole_part_of_the_exact_rate(tasks: int, period: int, total: int) -> None:
    rate = Rate(tasks=tasks, period_seconds=period)
    for seconds, allowed in ((1, rate.effective_burst(total)), (2, rate.allowed_in(2, total))):
        exact = Fraction(tasks, period) * seconds
        assert allowed == max(1, int(exact))
    assert rate.per_second(total) == tasks / period


@settings(deadline=None)
@given(TASKS, SECONDS)
def test_a_spread_run_takes_its_time(total: int, seconds: int) -> None:
    rate = Rate(spread_over_seconds=seconds)
    assert rate.per_second(total) * seconds == pytest.approx(total)


def test_warns_of_a_deadline_that_the_rate_can_not_meet() -> None:
    slow = spec(rate={"tasks": 600, "periodSeconds": 60}, activeDeadlineSeconds=3600)
    assert slow.deadline_warning(36_000) is None
    warning = slow.deadline_warning(2_000_000)
    assert warning is not None
    assert (
        "2,000,000 tasks take about 200,000 s at the asked rate, longer than activeDeadlineSeconds (3,600)"
        in warning
    )
    assert spec(activeDeadlineSeconds=1).deadline_warning(10**9) is None


@pytest.mark.parametrize(
    ("policy", "failed", "total", "exceeded"),
    [
        (FailurePolicy(max_failed_tasks=0), 0, 10, False),
        (FailurePolicy(max_failed_tasks=0), 1, 10, True),
        (FailurePolicy(max_failed_tasks=5), 5, 10, False),
        (FailurePolicy(max_failed_percent=5), 5, 100, False),
        (FailurePolicy(max_failed_percent=5), 6, 100, True),
        (FailurePolicy(max_failed_percent=5), 1, 19, True),
        (FailurePolicy(max_failed_percent=100), 10, 10, False),
    ],
)
def test_failure_policies(policy: FailurePolicy, failed: int, total: int, exceeded: bool) -> None:
    assert policy.is_exceeded(failed, total) is exceeded


@pytest.mark.parametrize(
    ("source", "format_"),
    [
        ({"count": 1}, None),
        ({"items": [{}]}, None),
        ({"object": {"bucket": "b", "name": "a.csv"}}, Format.CSV),
        ({"object": {"bucket": "b", "name": "a.jsonl"}}, Format.JSON_LINES),
        ({"object": {"bucket": "b", "name": "a.csv"}, "format": "JSONLines"}, Format.JSON_LINES),
        ({"object": {"bucket": "b", "name": "a"}, "format": "CSV"}, Format.CSV),
        ({"configMap": {"name": "m", "key": "A.CSV"}}, Format.CSV),
        ({"http": {"url": "https://h/a.csv?b=c.jsonl"}}, Format.CSV),
        ({"http": {"url": "https://h/a.ndjson#x.csv"}}, Format.JSON_LINES),
    ],
)
def test_formats(source: dict[str, Any], format_: Format | None) -> None:
    assert spec(tasks=source).tasks.resolved_format is format_


def test_totals_that_the_manifest_says() -> None:
    assert spec().tasks.known_total == 10
    assert spec(tasks={"items": [{}, {}]}).tasks.known_total == 2
    assert spec(tasks={"object": {"bucket": "b", "name": "a.csv"}}).tasks.known_total is None


def test_scaling_defaults() -> None:
    assert Scaling().effective_drain_seconds == 30
    assert Scaling(drain_seconds=5).effective_drain_seconds == 5
    assert Scaling(tasks_per_replica=5).effective_drain_seconds is None


def test_handlers() -> None:
    assert JobRun.from_wire(worker()).spec.worker.handler is HandlerKind.PYTHON
    commands = JobRun.from_wire(worker(python=None, exec={"command": ["a"]})).spec.worker
    assert commands.handler is HandlerKind.EXEC
    posts = JobRun.from_wire(worker(python=None, http={"url": "http://h"})).spec.worker
    assert posts.handler is HandlerKind.HTTP
    assert posts.pod_template == {}


@pytest.mark.parametrize(
    ("object_", "suspended"),
    [
        (manifest(), False),
        (manifest(suspend=True), True),
        (named(annotations={"jobrun.dev/paused": "true"}), True),
        (named(annotations={"jobrun.dev/paused": "false"}), False),
        (named(annotations={"jobrun.dev/paused": "True"}), False),
    ],
)
def test_suspension(object_: dict[str, Any], suspended: bool) -> None:
    assert JobRun.from_wire(object_).is_suspended is suspended


def test_tasks_can_not_be_changed() -> None:
    old = JobRun.from_wire(manifest(tasks={"items": [{"a": 1}]}))
    assert (
        immutable_change(old, JobRun.from_wire(manifest(tasks={"items": [{"a": 1}]}, suspend=True))) is None
    )
    for items in ([{"a": 2}], [{"b": 1}], [{"a": 1.0}], [{"a": True}], [{"a": 1}, {"a": 1}]):
        message = immutable_change(old, JobRun.from_wire(manifest(tasks={"items": items})))
        assert (
            message
            == "spec.tasks: the tasks of a run can't be changed: create another JobRun for other tasks"
        )
    assert Tasks(count=1) == Tasks(count=1)
