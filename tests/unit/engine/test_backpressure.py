"""Releasing holds while tasks wait for workers, so that calls follow the rate after an outage and a cold start too."""

from __future__ import annotations

import random

import pytest

from jobrun_operator.api import LimitedBy
from jobrun_operator.engine.ports import Flow
from jobrun_operator.errors import BrokerUnavailable
from support.memory_broker import MemoryBroker, Taken
from support.pace import most_in_a_window, worst_excess
from support.release_rig import UID, ReleaseRig, background, every, now, releasing
from support.virtual_time import until


@pytest.mark.parametrize("lag", [0.0, 0.01, 0.1])
async def test_never_more_wait_than_max_waiting_whoever_takes_them(lag: float) -> None:
    chance = random.Random(1)
    broker = MemoryBroker(delay=lambda: chance.uniform(0, 0.02))
    broker.lag = lag
    async with releasing(5000, broker=broker) as rig:
        rig.ask(200.0, 50, max_waiting=20)
        worst = 0

        async def work() -> None:
            nonlocal worst
            worst = max(worst, broker.waits(UID))
            await rig.work(chance.randrange(12))

        async with background(every(0.03, work)):
            await until(lambda: rig.is_all_released)
        assert worst == 20


async def test_a_consumer_made_again_holds_up_nothing_for_what_has_ended_long_ago() -> None:
    """Its sequences begin in front of that, and never come past it where the last tasks are among it."""
    async with releasing(10) as rig:
        rig.ask(max_waiting=2)
        await until(lambda: rig.releaser.limited_by == LimitedBy.WAITING)
        first, *others = await rig.broker.take(UID, 2)
        await until(lambda: rig.releaser.released == 4)
        others += await rig.broker.take(UID, 2)
        for task in others:
            await rig.broker.ack(task)
        await rig.broker.rebuild_consumer(UID, paused=False)
        (again,) = await rig.broker.take(UID, 1)
        assert again.seq == first.seq
        async with background(every(1.0, rig.look)):
            await until(lambda: rig.releaser.released == 6)


async def test_outstanding_tasks_hold_releasing_too() -> None:
    async with releasing(100) as rig:
        rig.ask(max_waiting=50, max_outstanding=30)
        await until(lambda: rig.releaser.limited_by == LimitedBy.OUTSTANDING)
        assert rig.releaser.released == 30
        taken = await rig.broker.take(UID, 30)
        await until(lambda: now() > 5)
        assert rig.releaser.released == 30  # taken, and not finished
        for task in taken[:7]:
            await rig.broker.ack(task)
        await until(lambda: rig.releaser.released == 37)


@pytest.mark.parametrize("burst", [10, 1])
async def test_after_an_outage_workers_find_what_may_wait_and_then_the_rate(burst: int) -> None:
    async with releasing(10_000) as rig:
        rig.ask(10.0, burst, max_waiting=20)
        await until(lambda: now() > 1000, every=1.0)
        assert len(rig.times) == 20
        assert rig.releaser.limited_by == LimitedBy.WAITING
        back = now()
        calls: list[float] = []
        async with background(every(0.01, lambda: _call(rig, calls))):
            await until(lambda: now() > back + 30)
        assert calls[19] < back + 0.1
        assert worst_excess(calls, 10.0, 20) < 0.2  # a worker takes its time to look
        assert len(calls) == pytest.approx(300 + burst, abs=5)


async def _call(rig: ReleaseRig, calls: list[float]) -> None:
    for task in await rig.broker.take(UID, 100):
        calls.append(now())
        await rig.broker.ack(task)


async def test_a_run_slower_than_its_workers_start_keeps_its_rate() -> None:
    """One task a minute, and workers that need five seconds to take it: waiting is no outage."""
    async with releasing(60) as rig:
        rig.ask(1 / 60, max_waiting=1)

        async def work() -> None:
            if rig.times and now() > rig.times[-1] + 5:
                await rig.work(1)

        async with background(every(0.5, work)):
            await until(lambda: rig.is_all_released, seconds=7200, every=1.0)
        assert now() == pytest.approx(3600, rel=0.01)


async def test_redeliveries_are_charged_so_that_calls_keep_to_the_rate() -> None:
    """Every other call fails and comes again: releases and retries together follow the rate."""
    async with releasing(2000) as rig:
        rig.ask(20.0, 20, max_waiting=40)
        calls: list[float] = []
        failed: list[Taken] = []
        chance = random.Random(3)

        async def work() -> None:
            for task in await rig.broker.take(UID, 100):
                calls.append(now())
                if chance.random() < 0.5:
                    failed.append(task)
                else:
                    await rig.broker.ack(task)

        async def retry() -> None:
            for task in failed:
                await rig.broker.nak(task)
            failed.clear()

        async with (
            background(every(0.05, work)),
            background(every(1.0, retry)),
            background(every(1.0, rig.look)),
        ):
            await until(lambda: now() > 100)
        assert most_in_a_window(calls, 10) <= 200 + 20 + 20  # burst, and what was seen a second late
        assert len(calls) == pytest.approx(2000, rel=0.05)
        assert len(rig.times) == pytest.approx(1000, rel=0.1)


async def test_a_debt_of_redeliveries_is_paid_before_the_next_release() -> None:
    async with releasing(1000) as rig:
        rig.ask(1.0, 1)
        await until(lambda: len(rig.times) == 10)
        for task in await rig.broker.take(UID, 10):
            await rig.broker.nak(task)
        for task in await rig.broker.take(UID, 10):
            await rig.broker.ack(task)
        await rig.look()
        seen = now()
        await until(lambda: len(rig.times) == 11)
        assert now() - seen == pytest.approx(11, abs=0.2)


async def test_a_look_that_is_answered_late_charges_nothing_twice() -> None:
    async with releasing(1000) as rig:
        rig.ask(10.0, 10)
        await until(lambda: len(rig.times) == 50)
        old_mark, depth, flow = rig.releaser.mark(), await rig.broker.depth(UID), await rig.broker.flow(UID)
        assert depth is not None
        assert flow is not None
        for task in await rig.broker.take(UID, 50):
            await rig.broker.nak(task)
        await rig.broker.take(UID, 50)
        await rig.look()
        rig.releaser.observed(old_mark, depth, flow)
        await rig.look()
        seen = now()
        await until(lambda: len(rig.times) > 50)
        assert now() - seen == pytest.approx(5, abs=0.3)


class _Watched(MemoryBroker):
    """Tells when the workers' consumer was looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[float] = []

    async def flow(self, uid: str) -> Flow | None:
        self.looks.append(now())
        return await super().flow(uid)


async def test_room_is_looked_for_before_the_next_task_is_due_and_no_more_often() -> None:
    broker = _Watched()
    async with releasing(1000, broker=broker) as rig:
        rig.ask(1.0, max_waiting=2)
        async with background(every(0.01, lambda: rig.work(100))):
            await until(lambda: now() > 200.5)
        assert rig.times == pytest.approx([1.0 + number for number in range(200)], abs=0.01)
        _prepared, _for_the_first_worker, *looks = broker.looks
        assert looks == pytest.approx([2.75 + 2 * number for number in range(99)], abs=0.05)


async def test_room_that_a_look_of_the_run_has_found_is_not_looked_for() -> None:
    broker = _Watched()
    async with releasing(1000, broker=broker) as rig:
        rig.ask(1.0, max_waiting=2)
        await until(lambda: now() > 0.5)
        async with background(every(0.01, lambda: rig.work(100))), background(every(2.0, rig.look)):
            await until(lambda: now() > 199.5)
        assert rig.times == pytest.approx([1.0 + number for number in range(199)], abs=0.01)
        _prepared, _for_the_first_worker, *looks = broker.looks
        assert looks == pytest.approx([0.5 + 2 * number for number in range(100)], abs=0.05)


async def test_where_nothing_is_taken_it_says_so_when_the_next_task_is_nearly_due() -> None:
    async with releasing(1000) as rig:
        rig.ask(1.0, max_waiting=2)
        await until(lambda: now() > 2.7)
        assert rig.releaser.limited_by == LimitedBy.RATE
        await until(lambda: now() > 2.8)
        assert rig.releaser.limited_by == LimitedBy.WAITING


async def test_room_that_was_only_thought_to_be_missing_is_no_outage() -> None:
    """The rate allows nothing for a while, and what was released has long been taken when room is looked for."""
    async with releasing(1000) as rig:
        rig.ask(1.0, max_waiting=1)
        await until(lambda: rig.releaser.limited_by == LimitedBy.WAITING)  # this was one, and is over
        async with background(every(0.01, lambda: rig.work(100))):
            await until(lambda: len(rig.times) == 5)
            rig.releaser.charge(10)
            await until(lambda: len(rig.times) == 7)
        before, after, last = rig.times[4:]
        assert (after - before, last - after) == pytest.approx((11.0, 1.0), abs=0.05)


@pytest.mark.parametrize(("rate", "max_waiting", "burst"), [(1 / 60, 1, 1), (1.0, 2, 1), (10.0, 20, 10)])
async def test_room_that_could_not_be_looked_for_counts_as_an_outage(
    rate: float, max_waiting: int, burst: int
) -> None:
    """Workers and broker are away, both come back at once, and what waited is taken before the next look."""
    async with releasing(10_000) as rig:
        rig.ask(rate, burst, max_waiting=max_waiting)
        calls: list[float] = []
        async with background(every(0.01, lambda: _call(rig, calls))):
            await until(lambda: len(calls) == 6)
        await until(lambda: rig.broker.waits(UID) == max_waiting)
        rig.broker.fault = BrokerUnavailable("away")
        back = now() + max(60.0, 3 / rate)
        await until(lambda: now() > back)
        rig.broker.fault = None
        async with background(every(0.01, lambda: _call(rig, calls))):
            await until(lambda: now() > back + max(30.0, 3 / rate))
        after = [at for at in calls if at > back]
        assert len(after) >= 3
        assert worst_excess(after, rate, max(max_waiting, burst)) < 0.05


@pytest.mark.parametrize("max_waiting", [1, 5])
async def test_a_trouble_is_over_where_only_the_answer_was_lost(max_waiting: int) -> None:
    async with releasing(1000) as rig:
        rig.ask(1 / 60, max_waiting=max_waiting)
        async with background(every(0.5, lambda: rig.work(100))), background(every(1.0, rig.look)):
            await until(lambda: len(rig.times) == 2)
            rig.broker.lost_acks = 1
            told: list[bool] = []
            async with background(every(0.01, lambda: told.append(rig.releaser.trouble is not None))):
                await until(lambda: now() > 190)
            assert len(rig.times) == 3
            assert told.count(True) * 0.01 < 1


async def test_a_trouble_is_looked_after_however_long_the_rate_allows_nothing() -> None:
    async with releasing(1000) as rig:
        rig.ask(1 / 60, max_waiting=1)
        await until(lambda: len(rig.times) == 1)
        rig.broker.fault = BrokerUnavailable("away")
        await until(lambda: rig.releaser.trouble is not None)
        rig.releaser.charge(10)
        rig.broker.fault = None
        await until(lambda: rig.releaser.trouble is None, seconds=5)


async def test_who_waits_to_look_for_room_acts_at_once_on_other_limits() -> None:
    async with releasing(1000) as rig:
        rig.ask(1 / 60, max_waiting=1)
        await until(lambda: len(rig.times) == 1)
        rig.ask(1 / 60, max_waiting=2)
        await until(lambda: len(rig.times) == 2)
        assert rig.times[1] - rig.times[0] == pytest.approx(60, abs=0.1)
        rig.releaser.limit(None)
        await until(lambda: rig.releaser.limited_by == LimitedBy.SUSPENDED, seconds=0.1)
        rig.ask(1 / 60, max_waiting=1)
        await rig.work(2)
        await until(lambda: len(rig.times) == 3)
        changed = now()
        rig.ask(10.0, max_waiting=3)
        await until(lambda: len(rig.times) == 5)
        assert now() - changed == pytest.approx(0.2, abs=0.05)
