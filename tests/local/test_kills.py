"""Whatever is killed, every task ends once, and nothing is left running."""

from __future__ import annotations

from pathlib import Path

from accept import killing, outage, workers
from local.held import assert_all_hold


def test_the_whole_of_it_again_and_again(tmp_path: Path) -> None:
    assert_all_hold(
        killing.killed_again_and_again(tmp_path, count=1_500, rate=300, kills=3, latest=1.5, seed=2)
    )


def test_a_worker_in_mid_task(tmp_path: Path) -> None:
    assert_all_hold(workers.killed_in_mid_task(tmp_path, count=160, seconds=0.2))


def test_a_task_that_kills_its_worker_takes_no_neighbour_along(tmp_path: Path) -> None:
    assert_all_hold(workers.poisonous_task(tmp_path, count=60, index=5, attempts=2))


def test_drains_use_up_no_attempt(tmp_path: Path) -> None:
    assert_all_hold(workers.drained(tmp_path, count=150, drains=2, seconds=0.2))


def test_workers_that_come_back_find_no_more_than_may_wait(tmp_path: Path) -> None:
    assert_all_hold(outage.away(tmp_path, frozen=False, rate=50, seconds=3, before=50, after=1))


def test_the_broker(tmp_path: Path) -> None:
    assert_all_hold(killing.broker_killed(tmp_path, count=600, rate=200))
