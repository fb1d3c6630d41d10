"""The CRD's schema and CEL rules refuse what the models refuse, and nothing else."""

from __future__ import annotations

import pytest

from support.manifests import INVALID, VALID, Invalid, Valid, of_every_field
from support.structural import refusals


def name_of(case: Valid | Invalid) -> str:
    return case.name


@pytest.mark.parametrize("case", VALID, ids=name_of)
def test_schema_accepts(case: Valid) -> None:
    assert bool(refusals(case.manifest)) == case.local


@pytest.mark.parametrize("case", [*INVALID, *of_every_field()], ids=name_of)
def test_schema_refuses(case: Invalid) -> None:
    assert refusals(case.manifest)


def test_a_message_is_the_same_in_both() -> None:
    by_name = {case.name: case for case in INVALID}
    for name in ("two sources", "rate and spread", "two handlers", "our environment", "delay above most"):
        case = by_name[name]
        assert any(case.says.split(": ", 1)[-1] in refusal for refusal in refusals(case.manifest)), name
