"""The same command again."""

from __future__ import annotations

from pathlib import Path

from accept import resuming
from local.held import assert_all_hold


def test_ctrl_c_stops_and_the_command_that_it_names_goes_on(tmp_path: Path) -> None:
    assert_all_hold(resuming.interrupted(tmp_path, count=300, rate=150))


def test_ctrl_c_before_the_run_has_begun(tmp_path: Path) -> None:
    assert_all_hold(resuming.interrupted_at_start(tmp_path))


def test_a_finished_run_repeats_its_outcome(tmp_path: Path) -> None:
    assert_all_hold(resuming.finished(tmp_path, count=70))
