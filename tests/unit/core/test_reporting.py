"""When a status is worth a write."""

from __future__ import annotations

import pytest

from jobrun_operator.api import Condition, ConditionStatus, JobRunStatus, Phase, Summary, TaskCounts
from jobrun_operator.core.reporting import worth_writing


def status(
    progress: str = "10%", released: int = 10, *, ready: bool = True, reason: str = "Started"
) -> JobRunStatus:
    state = ConditionStatus.TRUE if ready else ConditionStatus.FALSE
    return JobRunStatus(
        phase=Phase.RUNNING,
        observed_generation=1,
        conditions=(Condition(type="Ready", status=state, reason=reason),),
        summary=Summary(progress=progress),
        tasks=TaskCounts(released=released),
    )


@pytest.mark.parametrize(
    ("now", "seconds", "worth"),
    [
        (status(), 3600, False),  # what has not changed
        (status(released=11), 0, False),
        (status(released=11), 9.9, False),
        (status(released=11), 10, True),
        (status("11%"), 0.9, False),
        (status("11%"), 1, True),
        (status(ready=False), 0.9, False),
        (status(ready=False), 1, True),
        (status(reason="Resumed"), 1, True),
        (status().model_copy(update={"observed_generation": 2}), 1, True),
        (status().model_copy(update={"phase": Phase.SUSPENDED}), 1, True),
        (status().model_copy(update={"replicas": 3}), 5, False),
    ],
)
def test_worth(now: JobRunStatus, seconds: float, worth: bool) -> None:
    assert worth_writing(status(), now, seconds) is worth


def test_the_first_status_is_written() -> None:
    assert worth_writing(JobRunStatus(), status(), float("inf"))
