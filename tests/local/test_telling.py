"""What a run tells while it goes on and at its end: JSON, live status, audit records, plain lines."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from accept.complete import worker
from support.embedded_broker import audit_records, live_status
from support.local_run import LocalRun
from support.measure import kept_from
from support.structural import refusals


def _spec(count: int, rate: int = 0, **fields: Any) -> dict[str, Any]:
    spec = {"tasks": {"count": count}, "worker": worker("async_logged"), **fields}
    return spec | ({"rate": {"tasks": rate, "periodSeconds": 1}} if rate else {})


def test_json_is_the_jobrun_as_its_definition_has_it(tmp_path: Path) -> None:
    with LocalRun(tmp_path, _spec(70, worker=worker("gives_up_each_seventh"))) as run:
        ended = run.run()
        assert ended.code == 0, ended.said
        assert ended.stdout.count("\n") == 1  # all else goes to standard error
        jobrun = ended.jobrun
        as_on_a_cluster = jobrun | {
            "spec": jobrun["spec"] | {"worker": jobrun["spec"]["worker"] | {"image": "registry/push:1"}}
        }
        assert refusals(as_on_a_cluster) == []
        assert jobrun["status"]["phase"] == "Completed"
        assert jobrun["status"]["tasks"]["failed"] == 10
        assert (jobrun["status"]["replicas"], jobrun["status"]["readyReplicas"]) == (0, 0)


def test_without_json_lines_tell_the_course(tmp_path: Path) -> None:
    with LocalRun(tmp_path, _spec(100, rate=100)) as run:
        ended = run.start(["local", "run", "run.yaml"]).wait()
        assert ended.code == 0, ended.said
        lines = ended.stdout.splitlines()
        assert "run: 100 tasks at 100/s: about 1.0 s" in lines
        assert any(line.startswith("run Running ") for line in lines)
        assert lines[-1].startswith("Completed: all 100 tasks succeeded in ")
        assert not run.data.exists()  # without --data-dir every run is fresh, and leaves nothing
        assert ended.stderr == ""


def test_live_status_and_audit_records_are_in_the_broker(tmp_path: Path) -> None:
    with LocalRun(tmp_path, _spec(1_000, rate=100)) as run:
        run.start().until_started(50)
        live = asyncio.run(live_status(run.data, "run"))
        assert live["phase"] == "Running"
        assert live["tasks"]["released"] >= 1
        assert refusals({**_jobrun(), "status": live}) == []
        run.edit(suspend=True)
        run.until_phase("Suspended")
        records = asyncio.run(audit_records(run.data, "run"))
        assert [record["type"] for record in records] == ["Started", "Suspended"]
        assert {record["uid"] for record in records} == {run.status()["stream"].removeprefix("jobrun_")}


def _jobrun() -> dict[str, Any]:
    spec = {"tasks": {"count": 1}, "worker": {"image": "registry/push:1", "python": "a:b"}}
    return {
        "apiVersion": "jobrun.dev/v1alpha1",
        "kind": "JobRun",
        "metadata": {"name": "run"},
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: JobRun\n", "apiVersion: required, and missing"),
        ("spec: {tasks: [\n", "this edit is not used"),
        ("\xff", "this edit is not used"),
    ],
    ids=["fields", "not YAML", "other characters"],
)
def test_an_edit_that_can_not_be_used_is_told_and_changes_nothing(
    text: str, says: str, tmp_path: Path
) -> None:
    with LocalRun(tmp_path, _spec(400, rate=200)) as run:
        run.start().until_started(20)
        run.edit_text(text)
        run.until(lambda: "this edit is not used" in run.said(), "the edit to be told")
        ended = run.wait()
        assert ended.code == 0, ended.said
        assert says in ended.said
        assert ended.jobrun["metadata"]["generation"] == 1
        times = run.released()
        assert kept_from(times, 200, 200) == times[0]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tasks": {"count": 5}}, "spec.tasks"),
        ({"rate": {"tasks": 0, "periodSeconds": 1}}, "spec.rate.tasks"),
    ],
)
def test_an_edit_that_is_refused_names_its_field(fields: dict[str, Any], says: str, tmp_path: Path) -> None:
    with LocalRun(tmp_path, _spec(400, rate=200)) as run:
        run.start().until_started(20)
        run.edit(**fields)
        run.until(lambda: "this edit is not used" in run.said(), "the edit to be told")
        ended = run.wait()
        assert ended.code == 0, ended.said
        assert says in ended.said
        assert ended.tasks["total"] == 400
