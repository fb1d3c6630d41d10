"""What stands in for an object that can't be accepted: as much of it as can be read."""

from __future__ import annotations

from typing import Any

import pytest

from jobrun_operator.api import InvalidObject, JobRun, JobRunStatus, Phase
from jobrun_operator.kubernetes.refusals import stand_in

META = {"name": "backfill", "namespace": "shop", "uid": "0001", "resourceVersion": "7", "generation": 3}


def item(spec: Any = None, status: Any = None, **meta: Any) -> dict[str, Any]:
    found = {"apiVersion": "jobrun.dev/v1alpha1", "kind": "JobRun", "metadata": {**META, **meta}}
    found |= {"spec": {"tasks": {"count": 0}} if spec is None else spec, "status": status}
    with pytest.raises(InvalidObject):
        JobRun.from_wire(found)
    return found


def test_its_identity_and_status_are_kept() -> None:
    run = stand_in(item(status={"phase": "Running", "stream": "jobrun_0001"}))
    assert (run.namespace, run.name, run.uid) == ("shop", "backfill", "0001")
    assert (run.metadata.resource_version, run.metadata.generation) == ("7", 3)
    assert (run.status.phase, run.status.stream) == (Phase.RUNNING, "jobrun_0001")


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        (None, (604_800, None, False)),
        (
            {"cleanupSecondsAfterFinished": 1, "ttlSecondsAfterFinished": 5, "results": {"retain": True}},
            (1, 5, True),
        ),
        (
            {"cleanupSecondsAfterFinished": -1, "ttlSecondsAfterFinished": 5, "results": {"kept": 1}},
            (604_800, 5, False),
        ),
        (
            {"cleanupSecondsAfterFinished": "1", "ttlSecondsAfterFinished": None, "rate": "fast"},
            (604_800, None, False),
        ),
        ("nothing", (604_800, None, False)),
    ],
)
def test_of_its_spec_what_is_acted_by_after_the_end(spec: Any, kept: tuple[int, int | None, bool]) -> None:
    found = stand_in(item(spec)).spec
    assert (
        found.cleanup_seconds_after_finished,
        found.ttl_seconds_after_finished,
        found.results.retain,
    ) == kept


def test_the_last_acceptable_spec_is_better() -> None:
    known = stand_in(item({"ttlSecondsAfterFinished": 5})).spec
    assert stand_in(item({"ttlSecondsAfterFinished": 9}), known).spec is known


def test_a_status_that_can_not_be_read_is_none() -> None:
    assert stand_in(item(status={"phase": 5, "tasks": "x"})).status == JobRunStatus()


def test_a_name_that_is_none_of_ours_names_the_object_all_the_same() -> None:
    run = stand_in(item(name="a.b" * 30))
    assert (run.name, run.uid, run.metadata.generation) == ("a.b" * 30, "0001", 3)
    assert run.metadata.resource_version == "7"
    assert run.metadata.annotations == {}
