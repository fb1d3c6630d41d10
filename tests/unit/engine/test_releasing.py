"""The release loop alone: paced to the task, and acting at once on what it is told."""

from __future__ import annotations

import random

import pytest

from jobrun_operator.api import LimitedBy
from support.listed_source import ListedSource
from support.memory_broker import MemoryBroker
from support.pace import worst_excess
from support.release_rig import assert_exactly_once, now, releasing
from support.virtual_time import until


@pytest.mark.parametrize(
    ("per_second", "burst", "total"),
    [
        (10.0, 10, 600),
        (600 / 60, 1, 600),
        (7 / 90, 1, 30),
        (1 / 60, 1, 20),
        (5000.0, 5000, 50_000),
        (1.9, 1, 100),
    ],
)
async def test_a_paced_release_is_exact(per_second: float, burst: float, total: int) -> None:
    async with releasing(total) as rig:
        rig.ask(per_second, burst)
        await until(lambda: rig.is_all_released, seconds=2 * total / per_second)
        assert now() == pytest.approx(total / per_second, rel=0.002, abs=0.03)
        assert worst_excess(rig.times, per_second, burst) < 1e-3
        assert_exactly_once(rig.broker, total)


@pytest.mark.parametrize("seed", range(3))
async def test_slow_answers_cost_no_tokens_where_the_burst_allows_it(seed: int) -> None:
    chance = random.Random(seed)
    broker = MemoryBroker(delay=lambda: chance.uniform(0, 0.05))
    async with releasing(3000, broker=broker) as rig:
        rig.ask(100.0, 100)
        await until(lambda: rig.is_all_released)
        assert now() == pytest.approx(30, rel=0.01)
        assert worst_excess(rig.times, 100.0, 100) < 1e-3


async def test_without_a_rate_it_is_as_fast_as_there_is_room() -> None:
    async with releasing(25_000) as rig:
        rig.ask(max_waiting=10_000)
        await until(lambda: rig.releaser.limited_by == LimitedBy.WAITING)
        assert rig.releaser.released == 10_000
        assert now() < 0.1
        await rig.work(10_000)
        await until(lambda: rig.releaser.released == 20_000)
        await rig.work(10_000)
        await until(lambda: rig.releaser.limited_by == LimitedBy.ALL_RELEASED)
        assert_exactly_once(rig.broker, 25_000)
        assert rig.source.opened == [0]
        assert rig.source.open == 0


async def test_nothing_is_released_before_it_is_asked_for() -> None:
    async with releasing(10) as rig:
        await until(lambda: now() > 100)
        assert rig.times == []
        assert rig.releaser.limited_by == LimitedBy.SUSPENDED
        rig.ask(1.0)
        await until(lambda: len(rig.times) == 1)
        assert now() == pytest.approx(101, abs=0.05)


async def test_a_suspension_acts_at_once_and_empties_the_bucket() -> None:
    async with releasing(1000) as rig:
        rig.ask(10.0, 50, max_waiting=10)
        await until(lambda: now() > 10)  # the bucket has filled behind the ten that wait
        rig.releaser.limit(None)
        await rig.work(1000)
        held = len(rig.times)
        await until(lambda: now() > 60)
        assert len(rig.times) == held
        assert rig.releaser.limited_by == LimitedBy.SUSPENDED
        resumed = now()
        rig.ask(10.0, 50)
        await until(lambda: now() > resumed + 10)
        assert worst_excess(rig.times_from(resumed), 10.0, 1) < 1e-3
        assert len(rig.times_from(resumed)) == pytest.approx(100, abs=1)


@pytest.mark.parametrize(("before", "after"), [(1 / 60, 10.0), (10.0, 1.0), (1000.0, 2000.0)])
async def test_a_change_of_rate_acts_at_once_and_empties_the_bucket(before: float, after: float) -> None:
    async with releasing(100_000) as rig:
        rig.ask(before, max(1.0, before))
        await until(lambda: now() > 5)
        changed = now()
        rig.ask(after, max(1.0, after))
        await until(lambda: now() > changed + 10)
        times = rig.times_from(changed)
        assert len(times) == pytest.approx(10 * after, abs=max(1, 0.03 * after))
        assert all(count <= after * seconds + 1.001 for count, seconds in _since(times, changed))


def _since(times: list[float], start: float) -> list[tuple[int, float]]:
    """(released so far, seconds since ``start``) at each release."""
    return [(count, at - start) for count, at in enumerate(times, start=1)]


async def test_a_change_of_back_pressure_keeps_the_bucket() -> None:
    async with releasing(100) as rig:
        rig.ask(1 / 60)
        await until(lambda: now() > 59)
        rig.ask(1 / 60, max_waiting=7)
        await until(lambda: rig.times)
        assert now() == pytest.approx(60, abs=0.1)


async def test_what_was_decided_before_a_slow_read_is_decided_again() -> None:
    """The rate falls while the source is read: what comes out of it late keeps to the new rate."""
    source = ListedSource(100, chunk=50)
    source.seconds_a_chunk = 30.0
    async with releasing(100, source=source) as rig:
        rig.ask(100.0, 100)
        await until(lambda: now() > 20)
        rig.ask(1.0, 1)
        await until(lambda: now() > 60)
        assert worst_excess(rig.times, 1.0, 1) < 1e-3
        assert rig.times


async def test_a_batch_on_its_way_when_the_run_is_suspended_is_counted() -> None:
    broker = MemoryBroker(delay=lambda: 0.5)
    async with releasing(100, broker=broker) as rig:
        rig.ask(1.0)
        await until(lambda: rig.times)
        rig.releaser.limit(None)
        await until(lambda: now() > 10)
        assert rig.releaser.released == len(rig.times) == 1
        rig.ask(1.0)
        await until(lambda: rig.releaser.released == 5)
        assert_exactly_once(broker, 5)
