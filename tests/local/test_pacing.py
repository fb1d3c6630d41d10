"""The rate by the recorded times of release, and what acts on it while a run goes on."""

from __future__ import annotations

from pathlib import Path

from accept import editing, failing, pacing
from local.held import assert_all_hold


def test_no_window_has_more_than_the_rate_and_the_burst(tmp_path: Path) -> None:
    assert_all_hold(pacing.steady(tmp_path, count=1_000, tasks=500, period=1, burst=50))


def test_a_rate_by_the_minute(tmp_path: Path) -> None:
    assert_all_hold(pacing.steady(tmp_path, count=200, tasks=6_000, period=60, burst=5))


def test_without_a_rate_one_worker_does_it_all(tmp_path: Path) -> None:
    assert_all_hold(pacing.unpaced(tmp_path, count=5_000))


def test_suspended_by_an_edit_nothing_is_released_until_the_resume(tmp_path: Path) -> None:
    assert_all_hold(editing.suspended_and_resumed(tmp_path, count=800, rate=200, seconds=0.0))


def test_other_rates_by_an_edit(tmp_path: Path) -> None:
    assert_all_hold(editing.other_rates(tmp_path, count=900, slow=150, fast=450))


def test_retries_run_until_all_succeed(tmp_path: Path) -> None:
    assert_all_hold(failing.retries_keep_the_rate(tmp_path, count=200, rate=200, longest_delay=1))
