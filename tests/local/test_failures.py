"""What fails, and what it means for the run."""

from __future__ import annotations

from pathlib import Path

from accept import failing
from local.held import assert_all_hold


def test_exactly_the_tasks_that_fail_for_good_are_dead_letters(tmp_path: Path) -> None:
    assert_all_hold(failing.each_seventh(tmp_path, count=140))


def test_the_run_fails_only_where_its_failure_policy_is_exceeded(tmp_path: Path) -> None:
    assert_all_hold(failing.failure_policy(tmp_path, count=70))
