"""What the models accept, and what they tell a user about what they don't."""

from __future__ import annotations

import re

import pytest

from jobrun_operator.api import InvalidObject, JobRun, Problem
from jobrun_operator.api.base import rules_of
from jobrun_operator.api.outcome import FailurePolicy, Retry
from jobrun_operator.api.pace import Rate
from jobrun_operator.api.scale import Scaling
from jobrun_operator.api.tasks import Tasks
from jobrun_operator.api.template import Container, PodSpec
from jobrun_operator.api.worker import ExecHandler, Worker
from jobrun_operator.errors import InputError
from support.manifests import INVALID, VALID, Invalid, Valid, manifest, of_every_field, worker

JARGON = re.compile(
    r"Input should|Extra inputs|Field required|Value error|type=|pydantic|validation error|NoneType|dict|tuple|str\b|"
    r"\bint\b|bool|regex|pattern|not acceptable"
)
RULED = (Tasks, Rate, ExecHandler, Worker, Container, PodSpec, Scaling, Retry, FailurePolicy)


def name_of(case: Valid | Invalid) -> str:
    return case.name


@pytest.mark.parametrize("case", VALID, ids=name_of)
def test_accepts(case: Valid) -> None:
    JobRun.from_wire(case.manifest, local=case.local)


@pytest.mark.parametrize("case", [*INVALID, *of_every_field()], ids=name_of)
def test_says_what_to_correct(case: Invalid) -> None:
    with pytest.raises(InvalidObject) as raised:
        JobRun.from_wire(case.manifest)
    assert case.says in str(raised.value)
    assert not JARGON.search(str(raised.value))


@pytest.mark.parametrize("case", INVALID, ids=name_of)
def test_local_mode_is_as_strict_but_for_the_image(case: Invalid) -> None:
    if case.local:
        with pytest.raises(InvalidObject):
            JobRun.from_wire(case.manifest, local=True)
    else:
        JobRun.from_wire(case.manifest, local=True)


def test_every_rule_is_broken_by_a_manifest_of_the_table() -> None:
    said = {problem.message for case in INVALID for problem in problems_of(case)}
    for model in RULED:
        assert rules_of(model), model
        for rule in rules_of(model):
            assert rule.message in said


def test_lists_every_problem_a_line_each() -> None:
    bad = manifest(tasks={"count": 0}, rate={"tasks": 1}, worker={"python": "x"}, sclaing={})
    with pytest.raises(InvalidObject) as raised:
        JobRun.from_wire(bad)
    assert [line.split(": ")[0] for line in str(raised.value).splitlines()] == [
        "spec.tasks.count",
        "spec.rate.tasks",
        "spec.worker.python",
        "spec.sclaing",
    ]
    assert raised.value.where == "spec.tasks.count"
    assert isinstance(raised.value, InputError)


def test_an_entry_of_a_wrong_type_does_not_make_its_list_empty() -> None:
    with pytest.raises(InvalidObject) as raised:
        JobRun.from_wire(manifest(tasks={"items": [5]}))
    assert str(raised.value) == "spec.tasks.items[0]: must be an object with fields, is 5"


def test_long_values_are_shortened() -> None:
    with pytest.raises(InvalidObject) as raised:
        JobRun.from_wire(worker(python="a" * 200))
    assert len(str(raised.value)) < 250


def test_python_names_are_not_names_of_the_wire() -> None:
    with pytest.raises(InvalidObject, match=r"did you mean maxWaiting\?"):
        JobRun.from_wire(manifest(max_waiting=5))
    assert Rate(tasks=1, period_seconds=2).period_seconds == 2


def problems_of(case: Invalid) -> tuple[Problem, ...]:
    with pytest.raises(InvalidObject) as raised:
        JobRun.from_wire(case.manifest)
    return raised.value.problems
