"""The state machine of a run, row by row of its table."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobrun_operator.api import FailurePolicy, Phase
from jobrun_operator.core.counts import Counts
from jobrun_operator.core.lifecycle import LOST_SECONDS, Fault, Situation, Transition, decide
from jobrun_operator.core.reasons import Reason

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
GOING_ON = Counts(total=10, released=6, outstanding=3, waiting=1, succeeded=2, failed=1, redeliveries=0)
DONE = Counts(total=10, released=10, outstanding=0, waiting=0, succeeded=10, failed=0, redeliveries=0)
WITH_FAILURES = dataclasses.replace(DONE, succeeded=8, failed=2)
WITH_LOSSES = dataclasses.replace(DONE, succeeded=7, lost=3)
PENDING, RUNNING, SUSPENDED = Phase.PENDING, Phase.RUNNING, Phase.SUSPENDED
COMPLETED, FAILED = Phase.COMPLETED, Phase.FAILED


def at(phase: Phase, **changes: Any) -> Situation:
    """A ready run that goes on, with ``changes``."""
    base = Situation(
        now=NOW,
        phase=phase,
        failing=None,
        suspend=phase == SUSPENDED,
        ready=True,
        counts=None if phase == PENDING else GOING_ON,
        workers_running=2,
        started=None if phase == PENDING else NOW - timedelta(seconds=100),
    )
    return dataclasses.replace(base, **changes)


FAILING = Fault(Reason.FAILURE_POLICY, "too many")
BAD = Fault(Reason.INVALID_SOURCE, "line 7")


@pytest.mark.parametrize(
    "seen",
    [
        at(COMPLETED, counts=None),
        at(COMPLETED, suspend=True, counts=DONE, fault=BAD, workers_running=0),
        at(COMPLETED, counts=WITH_LOSSES),
        at(FAILED, failing=FAILING, workers_running=0, counts=DONE),
        at(FAILED, suspend=False, counts=DONE),
        at(RUNNING, failing=FAILING),
        at(PENDING, failing=BAD),
        at(SUSPENDED, failing=FAILING, suspend=False, counts=DONE),
        at(PENDING, ready=False),
        at(PENDING, ready=False, suspend=True),
        at(RUNNING),
        at(RUNNING, counts=None),
        at(RUNNING, counts=WITH_LOSSES, lost_seconds=LOST_SECONDS - 0.1),
        at(RUNNING, counts=dataclasses.replace(DONE, released=9)),
        at(RUNNING, counts=dataclasses.replace(DONE, outstanding=1)),
        at(SUSPENDED),
        at(SUSPENDED, active_deadline_seconds=1),
    ],
)
def test_it_stays_as_it_is(seen: Situation) -> None:
    assert decide(seen) is None


@pytest.mark.parametrize(
    ("seen", "phase", "reason"),
    [
        (at(RUNNING, failing=FAILING, workers_running=0), FAILED, Reason.FAILURE_POLICY),
        (at(PENDING, failing=BAD, workers_running=0), FAILED, Reason.INVALID_SOURCE),
        (at(SUSPENDED, failing=FAILING, workers_running=0, suspend=False), FAILED, Reason.FAILURE_POLICY),
        (at(RUNNING, failing=FAILING, workers_running=0, counts=DONE), FAILED, Reason.FAILURE_POLICY),
        (at(PENDING), RUNNING, Reason.STARTED),
        (at(PENDING, suspend=True), SUSPENDED, Reason.SUSPENDED),
        (at(RUNNING, counts=DONE), COMPLETED, Reason.COMPLETED),
        (at(SUSPENDED, counts=DONE), COMPLETED, Reason.COMPLETED),
        (at(RUNNING, counts=WITH_FAILURES), COMPLETED, Reason.COMPLETED_WITH_FAILURES),
        (at(RUNNING, counts=DONE, suspend=True), COMPLETED, Reason.COMPLETED),
        (at(RUNNING, counts=DONE, active_deadline_seconds=1), COMPLETED, Reason.COMPLETED),
        (at(RUNNING, suspend=True), SUSPENDED, Reason.SUSPENDED),
        (at(RUNNING, suspend=True, counts=None), SUSPENDED, Reason.SUSPENDED),
        (at(SUSPENDED, suspend=False), RUNNING, Reason.RESUMED),
        (at(SUSPENDED, suspend=False, counts=None), RUNNING, Reason.RESUMED),
        (at(COMPLETED, counts=dataclasses.replace(DONE, outstanding=1)), RUNNING, Reason.RETRYING),
        (at(COMPLETED, counts=GOING_ON, suspend=True, fault=BAD), RUNNING, Reason.RETRYING),
    ],
)
def test_it_moves(seen: Situation, phase: Phase, reason: Reason) -> None:
    transition = decide(seen)
    assert transition is not None
    assert (transition.phase, transition.reason, transition.failing) == (phase, reason, False)
    assert transition.message


ONE = Counts(total=1, released=1, outstanding=0, waiting=0, succeeded=1, failed=0, redeliveries=0)


@pytest.mark.parametrize(
    ("counts", "said"),
    [(ONE, "the task succeeded"), (dataclasses.replace(ONE, succeeded=0, failed=1), "the task failed")],
)
def test_one_task_is_spoken_of_as_one(counts: Counts, said: str) -> None:
    transition = decide(at(RUNNING, counts=counts))
    assert transition is not None
    assert transition.message == said


NONE_MAY_FAIL = FailurePolicy(max_failed_tasks=0)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (at(PENDING, ready=False, fault=BAD), Reason.INVALID_SOURCE),
        (at(PENDING, fault=BAD, suspend=True), Reason.INVALID_SOURCE),
        (at(RUNNING, counts=None, fault=Fault(Reason.STREAM_LOST, "gone")), Reason.STREAM_LOST),
        (at(SUSPENDED, fault=Fault(Reason.SOURCE_CHANGED, "other")), Reason.SOURCE_CHANGED),
        (at(RUNNING, fault=Fault(Reason.WORKERS_FAILED, "no image"), counts=DONE), Reason.WORKERS_FAILED),
        (at(RUNNING, failure_policy=NONE_MAY_FAIL), Reason.FAILURE_POLICY),
        (at(SUSPENDED, failure_policy=NONE_MAY_FAIL), Reason.FAILURE_POLICY),
        (at(RUNNING, failure_policy=NONE_MAY_FAIL, counts=WITH_FAILURES), Reason.FAILURE_POLICY),
        (at(RUNNING, counts=WITH_LOSSES, lost_seconds=LOST_SECONDS), Reason.TASKS_LOST),
        (at(SUSPENDED, counts=WITH_LOSSES, lost_seconds=LOST_SECONDS), Reason.TASKS_LOST),
        (at(RUNNING, active_deadline_seconds=99), Reason.DEADLINE_EXCEEDED),
        (at(RUNNING, active_deadline_seconds=99, counts=None), Reason.DEADLINE_EXCEEDED),
        (at(RUNNING, active_deadline_seconds=99, suspend=True), Reason.DEADLINE_EXCEEDED),
    ],
)
def test_it_begins_to_fail(seen: Situation, reason: Reason) -> None:
    transition = decide(seen)
    assert transition is not None
    assert (transition.phase, transition.reason, transition.failing) == (seen.phase, reason, True)
    assert transition.warning


@pytest.mark.parametrize(
    ("policy", "failed", "exceeded"),
    [
        ({"max_failed_tasks": 3}, 3, False),
        ({"max_failed_tasks": 3}, 4, True),
        ({"max_failed_percent": 10}, 100, False),
        ({"max_failed_percent": 10}, 101, True),
        ({"max_failed_percent": 0}, 1, True),
        ({"max_failed_percent": 100}, 1000, False),
    ],
)
def test_how_many_may_fail(policy: dict[str, int], failed: int, exceeded: bool) -> None:
    counts = dataclasses.replace(GOING_ON, total=1000, released=1000, failed=failed)
    transition = decide(at(RUNNING, counts=counts, failure_policy=FailurePolicy(**policy)))
    assert (transition is not None) is exceeded
    if transition is not None:
        assert str(failed) in transition.message
        assert "maxFailed" in transition.message


@pytest.mark.parametrize(
    ("deadline", "suspended", "overdue"),
    [(100, 0.0, False), (99, 0.0, True), (99, 1.0, False), (50, 49.0, True)],
)
def test_suspended_time_does_not_count(deadline: int, suspended: float, overdue: bool) -> None:
    transition = decide(at(RUNNING, active_deadline_seconds=deadline, suspended_seconds=suspended))
    assert (transition is not None) is overdue


@pytest.mark.parametrize(
    ("transition", "warning"),
    [
        (Transition(RUNNING, Reason.STARTED, ""), False),
        (Transition(COMPLETED, Reason.COMPLETED, ""), False),
        (Transition(COMPLETED, Reason.COMPLETED_WITH_FAILURES, ""), True),
        (Transition(RUNNING, Reason.DEADLINE_EXCEEDED, "", failing=True), True),
        (Transition(FAILED, Reason.DEADLINE_EXCEEDED, ""), True),
    ],
)
def test_what_people_are_warned_of(transition: Transition, warning: bool) -> None:
    assert transition.warning is warning
