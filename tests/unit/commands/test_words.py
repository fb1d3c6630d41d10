"""What ``jobrun submit`` tells of a run on its way."""

from __future__ import annotations

from typing import Any

import pytest

from jobrun_operator.api import JobRun, JobRunStatus
from jobrun_operator.commands.submit_wait import follow, forecast, line, outcome
from jobrun_operator.errors import ApiUnavailable, Gone
from support.run_statuses import MANIFEST, captured

STATUSES = {one.name: one.object for one in captured()}


def status(name: str) -> JobRunStatus:
    return JobRunStatus.model_validate(STATUSES[name].get("status", {}))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("just created", "Pending"),
        ("pending, source missing", "Pending (there is no ConfigMap default/ids (yet))"),
        ("running", "Running 48% 10/s workers 2/2 left 52s"),
        ("running, broker away", "Running 48% 10/s workers 2/2 left 52s (no answer from the broker)"),
    ],
)
def test_a_line_of_progress(name: str, said: str) -> None:
    assert line(status(name)) == said


def test_how_it_ended() -> None:
    assert outcome(status("completed")) == "Completed: all 1000 tasks succeeded"
    assert outcome(status("failed")) == "Failed: 11 tasks failed, more than maxFailedTasks: 10"


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (None, "2,000,000 tasks as fast as the workers keep up"),
        ({"tasks": 600, "periodSeconds": 60}, "2,000,000 tasks at 600/min: about 55 h 33 min"),
    ],
)
def test_a_forecast(rate: dict[str, int] | None, said: str) -> None:
    run = JobRun.from_wire({**MANIFEST, "spec": {**MANIFEST["spec"], "rate": rate}})
    assert forecast(run, 2_000_000) == said


async def test_following_outlives_an_api_server_that_is_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrun_operator.commands.submit_wait._INTERVAL", 0)
    away = ApiUnavailable("the Kubernetes API does not answer")
    seen: list[dict[str, Any] | Exception] = [
        STATUSES["pending"],
        away,
        away,
        STATUSES["running"],
        STATUSES["failed"],
    ]

    async def read() -> dict[str, Any]:
        one = seen.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    assert await follow(read, "6f1c") == 1
    said = capsys.readouterr()
    assert [text.split(" ")[0] for text in said.out.splitlines()] == ["Pending", "Running", "Failed:"]
    assert said.err.count("does not answer") == 1


@pytest.mark.parametrize("found", [None, {"metadata": {"uid": "another"}}])
async def test_following_ends_where_the_run_is_gone(found: dict[str, Any] | None) -> None:
    async def read() -> dict[str, Any] | None:
        return found

    with pytest.raises(Gone, match="deleted"):
        await follow(read, "6f1c")
