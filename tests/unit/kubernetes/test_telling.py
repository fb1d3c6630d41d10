"""Statuses of refused objects, news that are told once, and log lines that name their run."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from jobrun_operator.api import Condition, ConditionStatus, JobRunStatus, Phase
from jobrun_operator.core.lifecycle import Fault
from jobrun_operator.core.reasons import Reason
from jobrun_operator.kubernetes.announced import new_trouble
from jobrun_operator.kubernetes.events import Regarding, event_name
from jobrun_operator.kubernetes.logs import About, Sparing
from jobrun_operator.kubernetes.refusals import refused_status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FAULT = Fault(Reason.INVALID_SPEC, "spec.tasks.count: must be at least 1, is 0")


def item(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "generation": 3}, "spec": {}, "status": status}


def test_a_refused_object_is_failed_as_any_other() -> None:
    status = refused_status(item(), FAULT, NOW)
    assert status is not None
    assert (status.phase, status.observed_generation, status.completion_time) == (Phase.FAILED, 3, NOW)
    true = {one.type for one in status.conditions if one.is_true}
    assert true == {"FailureTarget", "Failed", "Finished", "Stalled"}
    assert {one.reason for one in status.conditions} == {"InvalidSpec"}


@pytest.mark.parametrize("phase", ["Failed", "Completed"])
def test_what_has_ended_stays_as_it_is(phase: str) -> None:
    assert refused_status(item(phase=phase), FAULT, NOW) is None


def test_a_status_that_can_not_be_read_is_replaced() -> None:
    assert refused_status(item(phase=5, tasks="x"), FAULT, NOW) is not None


def ready(status: str, reason: str, message: str = "") -> JobRunStatus:
    return JobRunStatus(
        phase=Phase.RUNNING,
        conditions=(Condition(type="Ready", status=ConditionStatus(status), reason=reason, message=message),),
    )


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (
            ready("True", "Started"),
            ready("False", "BrokerUnavailable", "gone"),
            ("BrokerUnavailable", "gone"),
        ),
        (JobRunStatus(), ready("False", "SourceUnavailable", "no"), ("SourceUnavailable", "no")),
        (ready("False", "BrokerUnavailable", "1 s"), ready("False", "BrokerUnavailable", "2 s"), None),
        (ready("False", "BrokerUnavailable"), ready("False", "WorkersFailed", "x"), ("WorkersFailed", "x")),
        (ready("True", "Started"), ready("False", "Suspended"), None),  # a transition has told it
        (ready("False", "BrokerUnavailable"), ready("True", "Started"), None),
    ],
)
def test_a_trouble_is_told_when_it_begins(
    before: JobRunStatus, now: JobRunStatus, told: tuple[str, str] | None
) -> None:
    assert new_trouble(before, now) == told


def test_the_same_news_has_the_same_name() -> None:
    one, again = Regarding("shop", "backfill", "1"), Regarding("shop", "backfill", "2")
    assert event_name(one, "A", "b") == event_name(one, "A", "b")
    assert len({event_name(one, "A", "b"), event_name(one, "A", "c"), event_name(again, "A", "b")}) == 3


def record(message: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("jobrun", level, __file__, 1, message, None, None)


@pytest.mark.parametrize(
    ("message", "about"),
    [
        ("shop/backfill: Started: all is well", ("shop", "backfill")),
        ("shop/backfill is gone", ("shop", "backfill")),
        ("GET /apis/apps/v1: no", None),
        ("run 1: releasing waits", None),
    ],
)
def test_lines_name_their_run(message: str, about: tuple[str, str] | None) -> None:
    one = record(message)
    assert About().filter(one)
    found = (one.namespace, one.run) if hasattr(one, "run") else None
    assert found == about


def test_the_same_warning_once_a_minute() -> None:
    sparing = Sparing()
    assert sparing.filter(record("try #1 failed"))
    assert not sparing.filter(record("try #2 failed"))
    assert sparing.filter(record("another"))
    assert sparing.filter(record("try #2 failed", logging.INFO))
    later = record("try #3 failed")
    later.created += 61
    assert sparing.filter(later)
    assert "1 times more" in later.getMessage()
