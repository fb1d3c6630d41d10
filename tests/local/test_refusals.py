"""Wrong input, through the command line: a part of the table that `make accept` shows in full."""

from __future__ import annotations

from pathlib import Path

from accept import refusing
from accept.wrong_data import DATA
from accept.wrong_input import Refusal
from accept.wrong_manifests import MANIFESTS
from accept.wrong_options import OPTIONS
from accept.wrong_runs import RUNS
from local.held import assert_all_hold

_EACH = 8
"""Of the fields: the models' own tests have them all."""


def _some(cases: tuple[Refusal, ...], number: int) -> list[Refusal]:
    return list(cases[:: max(1, len(cases) // number)])


def test_manifests(tmp_path: Path) -> None:
    assert_all_hold(refusing.refused(tmp_path, _some(MANIFESTS, _EACH)))


def test_options_and_handlers(tmp_path: Path) -> None:
    assert_all_hold(refusing.refused(tmp_path, _some(OPTIONS, _EACH)))


def test_data(tmp_path: Path) -> None:
    assert_all_hold(refusing.refused(tmp_path, _some(DATA, _EACH)))


def test_data_directories(tmp_path: Path) -> None:
    assert_all_hold(refusing.refused(tmp_path, RUNS))


def test_names_are_unique() -> None:
    names = [case.name for case in refusing.table()]
    assert len(names) == len(set(names)) >= refusing.LEAST
