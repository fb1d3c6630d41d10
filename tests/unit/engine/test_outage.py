"""A partner's five-minute outage, simulated: with the circuit breaker it leaves next to no dead letters."""

from __future__ import annotations

import random
from typing import Any

import pytest

from support.engine_rig import rig
from support.outage import Came, outage

DEFAULTS = {"maxAttempts": 4}


async def came(*, total: int, rate: tuple[int, int], workers: int, **more: Any) -> Came:
    random.seed(7)  # the trials' own spread
    spec = more.pop("spec", {})
    made = rig(total, rate={"tasks": rate[0], "periodSeconds": rate[1]}, retry=DEFAULTS, **spec)
    return await outage(made, workers=workers, **more)


@pytest.mark.parametrize(
    ("rate", "total", "workers", "concurrency", "most_dead"),
    [
        ((600, 60), 5000, 1, 16, 0),
        ((600, 60), 5000, 10, 16, 0),
        ((600, 60), 5000, 10, 1, 0),
        ((20, 1), 9000, 4, 16, 0),
        ((60, 60), 500, 10, 1, 5),  # what trips it is 20 attempts, and they may be all of five tasks
    ],
)
async def test_a_five_minute_outage(
    rate: tuple[int, int], total: int, workers: int, concurrency: int, most_dead: int
) -> None:
    with_it = await came(total=total, rate=rate, workers=workers, concurrency=concurrency)
    assert with_it.dead <= most_dead
    assert with_it.seconds <= 30 + 5 + 1  # a hold that had just begun, and the spread of trials
    assert with_it.holds >= 5
    without = await came(
        total=total, rate=rate, workers=workers, concurrency=concurrency,
        spec={"circuitBreaker": {"enabled": False}},
    )  # fmt: skip
    assert without.holds == 0
    assert without.dead > total // 10
    assert with_it.failed < without.failed / 4


async def test_a_slow_run_loses_few() -> None:
    """Six a minute: what trips it is five tasks' worth of attempts."""
    with_it = await came(total=80, rate=(6, 60), workers=1)
    assert with_it.dead <= 5


async def test_bad_tasks_at_the_end_of_a_run_end_all_the_same() -> None:
    """Where nothing succeeds any more, trials use up the attempts that are left, and the run completes."""
    with_it = await came(total=700, rate=(600, 60), workers=1, begins=65.0, lasts=1e9)
    assert 0 < with_it.dead <= 60
    assert with_it.attempts < 700 + 4 * 60
