"""A real API server takes the CRD, with every rule in it, and refuses what the models refuse."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from jobrun_operator.api import JobRun, JobRunStatus, Phase, TaskCounts
from jobrun_operator.api.changes import TASKS_IMMUTABLE
from jobrun_operator.api.schema import crd, object_schema
from support.manifests import FULL, INVALID, VALID, Invalid, Valid, manifest, of_every_field
from support.structural import with_defaults

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RUNS = "/apis/jobrun.dev/v1alpha1/namespaces/default/jobruns"
STRICT = f"{RUNS}?dryRun=All&fieldValidation=Strict"
ESTABLISHED_SECONDS = 30


@pytest.fixture(scope="module")
def runs(api_server: Any) -> Iterator[Any]:
    """The API server, with the CRD established."""
    status, answer = api_server.request("POST", DEFINITIONS, crd())
    assert status == 201, answer.get("message")
    deadline = time.monotonic() + ESTABLISHED_SECONDS
    while api_server.request("GET", RUNS)[0] != 200:
        assert time.monotonic() < deadline, api_server.request("GET", f"{DEFINITIONS}/jobruns.jobrun.dev")
        time.sleep(0.1)
    yield api_server
    api_server.request("DELETE", f"{DEFINITIONS}/jobruns.jobrun.dev")


def name_of(case: Valid | Invalid) -> str:
    return case.name


def test_no_complaint_about_the_definition(runs: Any) -> None:
    _, definition = runs.request("GET", f"{DEFINITIONS}/jobruns.jobrun.dev")
    conditions = {one["type"]: one["status"] for one in definition["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize("case", VALID, ids=name_of)
def test_accepts(runs: Any, case: Valid) -> None:
    status, answer = runs.request("POST", STRICT, case.manifest)
    assert status == (422 if case.local else 201), answer


@pytest.mark.parametrize("case", [*INVALID, *of_every_field()], ids=name_of)
def test_refuses(runs: Any, case: Invalid) -> None:
    status, answer = runs.request("POST", STRICT, case.manifest)
    assert status in (400, 422), answer


def test_says_the_same_as_the_models(runs: Any) -> None:
    said = [
        case.says.split(": ", 1)[-1] in runs.request("POST", STRICT, case.manifest)[1]["message"]
        for case in INVALID
        if case.name in ("two sources", "rate and spread", "two handlers", "our environment", "two measures")
    ]
    assert said == [True] * 5


def test_fills_in_the_defaults_that_the_models_have(runs: Any) -> None:
    _, stored = runs.request("POST", STRICT, manifest())
    expected = with_defaults(manifest(), object_schema())
    assert stored["spec"] == expected["spec"]
    assert JobRun.from_wire(stored).spec == JobRun.from_wire(manifest()).spec


def test_tasks_can_not_be_changed_and_the_rest_can(runs: Any) -> None:
    path = f"{RUNS}/immutable"
    items = {"items": [{"a": 1, "deep": {"b": [1]}}]}
    first = {**manifest(tasks=items), "metadata": {"name": "immutable"}}
    status, stored = runs.request("POST", RUNS, first)
    assert status == 201, stored

    others: tuple[dict[str, Any], ...] = (
        {"count": 5},
        {"items": [{"a": 2, "deep": {"b": [1]}}]},
        {"items": []},
        {**items, "format": "CSV"},
    )
    for changed in others:
        status, answer = runs.request("PUT", path, with_spec(stored, tasks=changed))
        assert status == 422, answer
    status, answer = runs.request("PUT", path, with_spec(stored, tasks={"count": 5}))
    assert TASKS_IMMUTABLE.message in answer["message"]

    rest = {name: value for name, value in FULL["spec"].items() if name != "tasks"}
    status, answer = runs.request("PUT", path, with_spec(stored, **rest))
    assert status == 200, answer
    assert answer["metadata"]["generation"] == 2


def test_stores_a_status_apart_from_spec(runs: Any) -> None:
    early = {**manifest(), "metadata": {"name": "status"}, "status": {"phase": "Ignored"}}
    status, stored = runs.request("POST", RUNS, early)
    assert status == 201, stored
    assert "status" not in stored
    run = JobRun.from_wire(stored).with_status(
        JobRunStatus(phase=Phase.RUNNING, tasks=TaskCounts(total=10, failed=1))
    )
    status, stored = runs.request("PUT", f"{RUNS}/status/status", run.to_wire())
    assert status == 200, stored
    assert JobRun.from_wire(stored).status == run.status
    assert stored["metadata"]["generation"] == 1

    status, table = runs.request("GET", RUNS, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    columns = [(column["name"], column["priority"]) for column in table["columnDefinitions"]]
    assert [name for name, priority in columns if not priority] == [
        "Name", "Phase", "Progress", "Failed", "Outstanding", "Workers", "Rate", "Limited-By", "ETA", "Age"
    ]  # fmt: skip
    assert columns[-2:] == [("Reason", 1), ("Message", 1)]
    (row,) = [row["cells"] for row in table["rows"] if row["cells"][0] == "status"]
    assert row[1:5] == ["Running", None, 1, 0]


def with_spec(stored: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The stored object with other fields of spec."""
    changed = json.loads(json.dumps(stored))
    changed["metadata"].pop("managedFields", None)
    changed["spec"].update(copy.deepcopy(fields))
    return dict(changed)
