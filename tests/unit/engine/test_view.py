"""What a status says of one look at a run, where the life of a run does not come by it easily."""

from __future__ import annotations

from datetime import UTC, datetime

from jobrun_operator.api import (
    Condition,
    ConditionStatus,
    ConditionType,
    JobRun,
    JobRunStatus,
    LimitedBy,
    Phase,
)
from jobrun_operator.engine.ports import WorkersState
from jobrun_operator.engine.view import View, render
from support.manifests import manifest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNREAD = View(
    counts=None,
    workers=WorkersState(desired=2, running=2, ready=1),
    limited_by=None,
    errors=(),
    source=None,
    trouble=None,
    hold=None,
    released_per_second=0.0,
    ended_per_second=0.0,
)


def status(*conditions: ConditionType) -> JobRunStatus:
    """Of a run that was limited by its rate when it was last looked at."""
    before = JobRunStatus(
        phase=Phase.RUNNING,
        limited_by=LimitedBy.RATE,
        conditions=tuple(Condition(type=one, status=ConditionStatus.TRUE) for one in conditions),
    )
    return render(JobRun.from_wire(manifest()).with_status(before), UNREAD, None, "jobrun_0001", NOW)


def test_what_could_not_be_read_keeps_its_last_value() -> None:
    assert status().limited_by == LimitedBy.RATE
    assert (status().replicas, status().ready_replicas) == (2, 1)


def test_a_run_that_is_about_to_fail_is_limited_by_nothing_any_more() -> None:
    assert status(ConditionType.FAILURE_TARGET).limited_by is None
