"""News that are told once, and log lines that name their run."""

from __future__ import annotations

import logging

import pytest

from jobrun_operator.api import Condition, ConditionStatus, JobRunStatus, Phase
from jobrun_operator.kubernetes.announced import new_trouble
from jobrun_operator.kubernetes.events import Regarding, event_name
from jobrun_operator.kubernetes.logs import About, Sparing


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
