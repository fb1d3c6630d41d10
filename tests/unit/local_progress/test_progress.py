"""What a local run tells of its statuses: lines, and the live view of a terminal."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from jobrun_operator.api import JobRun, JobRunStatus
from jobrun_operator.local.progress import Progress
from support.run_statuses import MANIFEST

TASKS = {"total": 1000, "released": 40, "waiting": 0, "outstanding": 10, "succeeded": 30, "failed": 0}
SUMMARY = {"progress": "3%", "rate": "10/10/s", "workers": "1/1"}
MESSAGE = "until 2026-06-01T12:00:30Z: 20 attempts in a row failed; the last error: no partner"
ERROR = {"index": 6, "attempt": 1, "error": "ValueError: no"}
LATER = {"index": 7, "attempt": 2, "error": "ValueError: again"}


def _status(held: str = "", **fields: Any) -> JobRunStatus:
    condition = {
        "type": "Held",
        "status": "True" if held else "False",
        "reason": "CircuitBreaker",
        "message": held,
    }
    known = {"phase": "Running", "tasks": TASKS, "summary": SUMMARY, "conditions": [condition]}
    return JobRunStatus.model_validate(known | fields)


def _run(status: JobRunStatus | None = None) -> JobRun:
    return JobRun.from_wire(MANIFEST).model_copy(update={"status": status or JobRunStatus()})


def _lines(*statuses: JobRunStatus, before: JobRunStatus | None = None) -> list[str]:
    written = StringIO()
    with Progress(Console(file=written, width=200), _run(before)) as progress:
        for status in statuses:
            progress.show(status)
    return written.getvalue().splitlines()


def test_a_hold_is_told_when_it_begins_and_when_it_ends() -> None:
    longer = MESSAGE.replace("30Z", "45Z")
    said = _lines(_status(), _status(MESSAGE), _status(longer), _status(), _status())
    assert [line for line in said if line.startswith("  ")] == [
        f"  held (CircuitBreaker) {MESSAGE}",
        "  the hold is over: the run goes on",
    ]
    assert len(said) == 5


def test_failures_of_an_earlier_time_are_not_told_again() -> None:
    before = _status(last_errors=[ERROR], start_time="2026-06-01T12:00:00Z")
    assert not any("first failure" in line for line in _lines(before, before, before=before))
    retried = _status(last_errors=[LATER, ERROR])
    assert "  first failure: task 7, attempt 2: ValueError: again" in _lines(before, retried, before=before)
    assert "  first failure: task 6, attempt 1: ValueError: no" in _lines(_status(last_errors=[ERROR]))


def test_a_source_that_can_not_be_read_is_said_to_be_tried_again() -> None:
    away = {"type": "Reconciling", "status": "True", "reason": "SourceUnavailable", "message": "no server"}
    said = _lines(JobRunStatus.model_validate({"phase": "Pending", "conditions": [away]}))
    assert "  SourceUnavailable: no server; it is tried again within 10 s" in said


def _shown(status: JobRunStatus, width: int) -> list[str]:
    written = StringIO()
    console = Console(file=written, width=width, force_terminal=True, color_system=None)
    console.print(Progress(console, _run())._view(status))
    return written.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_in_a_terminal_of_any_width_no_number_is_torn(width: int) -> None:
    lines = _shown(_status(limited_by="Rate"), width)
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    for whole in (
        "backfill",
        "Running",
        "3%",
        "30/1,000",
        "outstanding 10",
        "succeeded 30",
        "limited by Rate",
    ):
        assert whole in text


def test_in_a_terminal_a_hold_says_why() -> None:
    text = "\n".join(_shown(_status(MESSAGE, limited_by="Held"), 120))
    assert MESSAGE in text
    assert "limited by Held" in text


def test_a_run_without_a_worker_waits_for_one() -> None:
    assert "waits for a worker" in "\n".join(_shown(_status(limited_by="Waiting"), 80))
    ready = _status(limited_by="Waiting", ready_replicas=1)
    assert "limited by Waiting" in "\n".join(_shown(ready, 80))
