"""What is written is what is read back, and nothing that comes from outside breaks the reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobrun_operator.api import (
    Condition,
    ConditionStatus,
    InvalidObject,
    JobRun,
    JobRunStatus,
    LimitedBy,
    Phase,
    Summary,
    TaskCounts,
    TaskError,
)
from jobrun_operator.errors import InputError
from jobrun_operator.manifest import parse_manifest
from support.manifests import FULL, VALID, Valid, manifest, named

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
NAMES = st.sampled_from(
    ["tasks", "rate", "worker", "scaling", "retry", "suspend", "results", "maxWaiting", "x"]
)


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.name)
def test_reads_back_what_it_writes(case: Valid) -> None:
    run = JobRun.from_wire(case.manifest, local=case.local)
    assert JobRun.from_wire(run.to_wire(), local=case.local) == run
    json.dumps(run.to_wire())


def test_writes_what_was_set_and_no_default() -> None:
    assert JobRun.from_wire(FULL).to_wire() == FULL
    assert JobRun.from_wire(manifest()).to_wire() == manifest()
    kept = named(ownerReferences=[{"uid": "1"}], generation=3, creationTimestamp="2026-01-31T12:00:00Z")
    assert JobRun.from_wire(kept).to_wire() == kept


def test_models_are_frozen() -> None:
    run = JobRun.from_wire(manifest())
    with pytest.raises(ValidationError):
        run.spec.suspend = True  # type: ignore[misc]


def test_a_status_on_the_wire() -> None:
    noon = datetime(2026, 1, 31, 13, 0, 0, 123456, timezone(timedelta(hours=1)))
    status = JobRunStatus(
        observed_generation=3,
        phase=Phase.RUNNING,
        conditions=(
            Condition(type="Ready", status=ConditionStatus.TRUE, reason="Started", last_transition_time=noon),
        ),
        summary=Summary(progress="61%"),
        tasks=TaskCounts(total=10, released=5),
        limited_by=LimitedBy.RATE,
        last_errors=(TaskError(index=7, attempt=2, error="x" * 1000),),
        start_time=noon,
    )
    run = JobRun.from_wire(manifest()).with_status(status)
    wire = run.to_wire()["status"]
    assert wire["phase"] == "Running"
    assert wire["startTime"] == "2026-01-31T12:00:00Z"
    assert wire["conditions"] == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Started",
            "message": "",
            "lastTransitionTime": "2026-01-31T12:00:00Z",
        }
    ]
    assert wire["tasks"] == {
        "total": 10, "released": 5, "outstanding": 0, "waiting": 0, "succeeded": 0, "failed": 0, "redeliveries": 0
    }  # fmt: skip
    assert len(wire["lastErrors"][0]["error"]) == 500
    assert "completionTime" not in wire
    assert JobRun.from_wire(run.to_wire()) == run
    assert status.start_time == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_asks_a_status() -> None:
    ready = Condition(type="Ready", status=ConditionStatus.TRUE)
    status = JobRunStatus(conditions=(ready, Condition(type="Stalled", status=ConditionStatus.FALSE)))
    assert status.condition("Ready") is ready
    assert status.condition("Failed") is None
    assert [status.is_true(name) for name in ("Ready", "Stalled", "Failed")] == [True, False, False]
    assert [phase for phase in Phase if phase.is_final] == [Phase.COMPLETED, Phase.FAILED]


def test_fields_of_a_newer_status_are_passed_over() -> None:
    newer = {**manifest(), "status": {"phase": "Running", "retrying": 5}}
    assert JobRun.from_wire(newer).status == JobRunStatus(phase=Phase.RUNNING)


def test_a_broken_status_is_named() -> None:
    with pytest.raises(
        InvalidObject, match=r"status\.startTime: must be a time such as 2026-01-31T12:00:00Z, is 5"
    ):
        JobRun.from_wire({**manifest(), "status": {"startTime": 5}})
    with pytest.raises(InvalidObject, match="must be a time with its zone"):
        JobRun.from_wire({**manifest(), "status": {"startTime": "2026-01-31T12:00:00"}})


@settings(deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=6))
def test_whatever_comes_is_accepted_or_explained(fields: dict[str, Any]) -> None:
    run, refusal = read(lambda: JobRun.from_wire(manifest(**fields)))
    assert "Input should" not in refusal
    assert "not acceptable" not in refusal
    assert run is None or JobRun.from_wire(run.to_wire()) == run


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_manifest_or_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        parse_manifest(text, where="run.yaml", local=True)


class QuotedDumper(yaml.SafeDumper):
    """Quotes all text: PyYAML leaves plain what other readers take for a number, such as 1e3."""


QuotedDumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, '"')
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(TEXT, JSON, max_size=4), min_size=1, max_size=4))
def test_payloads_come_through_yaml_as_they_are(items: list[dict[str, Any]]) -> None:
    object_ = manifest(tasks={"items": items})
    expected = json.dumps(object_["spec"]["tasks"], sort_keys=True)
    for text in (
        json.dumps(object_, ensure_ascii=False),
        yaml.dump(object_, Dumper=QuotedDumper, allow_unicode=True, default_flow_style=False),
    ):
        run = parse_manifest(text, where="run.yaml", local=True)
        assert json.dumps(run.spec.tasks.to_wire(), sort_keys=True) == expected


def read(how: Callable[[], JobRun]) -> tuple[JobRun | None, str]:
    """The JobRun, or why it is refused; any other error is one of the test."""
    try:
        return how(), ""
    except InputError as error:
        return None, str(error)
