"""Whatever the broker and the source do, each task is stored once, at its place, and no faster than asked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from jobrun_operator.api import LimitedBy
from jobrun_operator.core.reasons import Reason
from jobrun_operator.errors import (
    BrokerBusy,
    BrokerUnavailable,
    Conflict,
    JobRunError,
    SourceError,
    SourceUnavailable,
)
from support.listed_source import ListedSource
from support.memory_broker import MemoryBroker
from support.pace import worst_excess
from support.release_rig import UID, assert_exactly_once, background, bodies_by_index, every, now, releasing
from support.virtual_time import until


async def test_a_broker_that_is_away_and_comes_back() -> None:
    async with releasing(100) as rig:
        rig.ask(10.0, 10)
        await until(lambda: len(rig.times) == 20)
        rig.broker.fault = BrokerUnavailable("away")
        await until(lambda: rig.releaser.trouble)
        assert rig.releaser.trouble is not None
        assert (rig.releaser.trouble.reason, rig.releaser.limited_by) == (
            Reason.BROKER_UNAVAILABLE,
            LimitedBy.BROKER,
        )
        await until(lambda: now() > 60)
        rig.broker.fault = None
        back = now()
        await until(lambda: rig.releaser.trouble is None)
        assert now() < back + 1.5
        await until(lambda: rig.is_all_released)
        assert rig.releaser.trouble is None
        assert_exactly_once(rig.broker, 100)
        assert worst_excess(rig.times, 10.0, 10) < 1e-3


@pytest.mark.parametrize("error", [BrokerBusy("too many open batches"), JobRunError("refused")])
async def test_batches_that_are_refused_are_tried_again(error: JobRunError) -> None:
    async with releasing(50) as rig:
        rig.ask()
        rig.broker.refuses_batches = error
        await until(lambda: now() > 30)
        assert rig.releaser.trouble is not None
        assert rig.releaser.limited_by == LimitedBy.BROKER
        rig.broker.refuses_batches = None
        await until(lambda: rig.is_all_released, seconds=2)
        assert_exactly_once(rig.broker, 50)


async def test_in_trouble_a_single_task_is_tried_before_a_batch() -> None:
    """An account at its limits answers a single task with the reason, and a batch not at all."""
    async with releasing(50) as rig:
        sizes: list[int] = []
        release = rig.broker.release

        async def noted(uid: str, after: int, payloads: Sequence[bytes]) -> int:
            sizes.append(len(payloads))
            return await release(uid, after, payloads)

        rig.broker.release = noted  # type: ignore[method-assign]
        rig.broker.refuses_batches = BrokerUnavailable("no answer")
        rig.ask()
        await until(lambda: len(sizes) == 3)
        rig.broker.refuses_batches = None
        await until(lambda: rig.is_all_released, seconds=2)
        assert sizes == [50, 1, 1, 1, 49]
        assert_exactly_once(rig.broker, 50)


@pytest.mark.parametrize("rate", [None, 100.0])
async def test_lost_answers(rate: float | None) -> None:
    async with releasing(3000) as rig:
        rig.ask(rate, 100)
        rig.broker.lost_acks = 5
        await until(lambda: rig.is_all_released)
        await until(lambda: rig.releaser.trouble is None, seconds=1)
        assert_exactly_once(rig.broker, 3000)
        assert rig.source.opened == [0]  # what is stored is passed over, not read again
        if rate is not None:
            assert worst_excess(rig.times, rate, 100) < 1e-3


async def test_the_lost_answer_of_the_last_batch_leaves_no_trouble_behind() -> None:
    async with releasing(10) as rig:
        rig.broker.lost_acks = 1
        rig.ask()
        await until(lambda: rig.releaser.limited_by == LimitedBy.ALL_RELEASED)
        assert rig.releaser.trouble is None
        assert_exactly_once(rig.broker, 10)


async def test_a_batch_that_arrives_long_after_it_was_given_up() -> None:
    async with releasing(100) as rig:
        rig.ask(10.0, 10)
        await until(lambda: len(rig.times) == 20)
        rig.broker.late_batches = 1
        await until(lambda: rig.broker.late_batches == 0)
        rig.broker.land()
        await until(lambda: len(rig.times) == 50)
        rig.broker.late_batches = 2
        await until(lambda: rig.broker.late_batches == 0)
        await until(lambda: len(rig.times) == 60)
        rig.broker.land()
        await until(lambda: rig.is_all_released)
        assert_exactly_once(rig.broker, 100)
        assert worst_excess(rig.times, 10.0, 10) < 1e-3


async def test_a_lost_tail_is_released_again() -> None:
    async with releasing(1000) as rig:
        rig.ask(100.0, 100)
        async with background(every(1.0, rig.look)):
            await until(lambda: rig.releaser.released >= 500)
            rig.broker.lose_tail(UID, 50)
            await until(lambda: rig.is_all_released)
            rig.broker.lose_tail(UID, 10)
            await until(lambda: len(rig.times) >= 1060)
        assert len(rig.times) == 1060
        assert bodies_by_index(rig.broker) == {index: b"task %d" % index for index in range(1000)}
        assert worst_excess(rig.times, 100.0, 100) < 1e-3


@pytest.mark.parametrize("seed", range(5))
async def test_somebody_else_releases_too(seed: int) -> None:
    """At any moment, while this one reads its source, publishes, or looks: bodies stay at their indexes."""
    chance = random.Random(seed)
    broker = MemoryBroker(delay=lambda: chance.uniform(0, 0.05))
    source = ListedSource(3000, chunk=17)
    source.seconds_a_chunk = 0.05
    async with releasing(3000, broker=broker, source=source) as rig:
        rig.ask(100.0, 100)

        def elsewhere() -> None:
            last = len(broker.stored)
            count = min(chance.randrange(1, 30), 2900 - last)
            if count > 0:
                broker.release_elsewhere(UID, [b"task %d" % index for index in range(last, last + count)])

        async with background(every(0.73, elsewhere)), background(every(0.19, rig.look)):
            await until(lambda: rig.is_all_released)
        assert_exactly_once(broker, 3000)


@pytest.mark.parametrize("seed", range(5))
async def test_two_engines_release_every_task_once_at_one_rate(seed: int) -> None:
    chance = random.Random(seed)
    broker = MemoryBroker(delay=lambda: chance.uniform(0, 0.03))
    async with releasing(1000, broker=broker) as one, releasing(1000, broker=broker) as other:
        one.ask(20.0, 20)
        await until(lambda: now() > chance.uniform(0, 5))
        other.ask(20.0, 20)
        async with background(every(1.0, one.look)), background(every(0.7, other.look)):
            await until(lambda: one.is_all_released and other.is_all_released)
        assert_exactly_once(broker, 1000)
        assert worst_excess(one.times, 20.0, 20) < 1e-3
        assert now() == pytest.approx(50, rel=0.05)


async def test_a_source_that_ends_early_is_a_fault() -> None:
    async with releasing(100) as rig:
        rig.source.ends_at = 60
        rig.ask()
        await until(lambda: rig.releaser.fault)
        assert rig.releaser.fault is not None
        assert rig.releaser.fault.reason == Reason.SOURCE_CHANGED
        assert "task 60" in rig.releaser.fault.message
        assert_exactly_once(rig.broker, 60)


async def test_a_source_that_has_changed_is_a_fault() -> None:
    async with releasing(100) as rig:
        rig.source.fault = SourceError("ids.csv", "the source changed")
        rig.ask()
        await until(lambda: rig.releaser.fault)
        assert rig.releaser.fault is not None
        assert rig.releaser.fault.reason == Reason.SOURCE_CHANGED
        assert rig.times == []


async def test_a_source_that_is_away_is_waited_for_and_named() -> None:
    source = ListedSource(100, chunk=10)
    async with releasing(100, source=source) as rig:
        rig.ask(10.0, 10)
        await until(lambda: len(rig.times) == 35)
        source.fault = SourceUnavailable("no answer")
        await until(lambda: rig.releaser.trouble)
        assert rig.releaser.trouble is not None
        assert rig.releaser.trouble.reason == Reason.SOURCE_UNAVAILABLE
        assert rig.releaser.limited_by == LimitedBy.HELD
        source.fault = None
        await until(lambda: rig.is_all_released)
        assert_exactly_once(rig.broker, 100)
        assert source.opened[0] == 0
        assert source.opened[-1] == 40


async def test_a_broker_that_contradicts_itself_is_not_asked_in_a_loop() -> None:
    class Contradicting(MemoryBroker):
        asked = 0

        async def release(self, uid: str, after: int, payloads: object) -> int:
            self.asked += 1
            raise Conflict("wrong last sequence")

    broker = Contradicting()
    async with releasing(10, broker=broker) as rig:
        rig.ask()
        await until(lambda: now() > 10)
        assert broker.asked <= 201


async def test_cancelling_closes_the_source() -> None:
    closed = asyncio.Event()

    class Closing(ListedSource):
        async def read(self, start: int):  # type: ignore[no-untyped-def]
            try:
                async for chunk in super().read(start):
                    yield chunk
            finally:
                closed.set()

    async with releasing(100, source=Closing(100, chunk=10)) as rig:
        rig.ask(1.0)
        await until(lambda: rig.times)
    assert closed.is_set()


async def test_a_look_that_sees_further_than_the_answer_that_follows_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = MemoryBroker(delay=lambda: 1.0)
    async with releasing(100, broker=broker) as rig:
        rig.ask(10.0, 10)
        await until(lambda: rig.times)
        own = len(rig.times)
        broker.release_elsewhere(UID, [b"task %d" % index for index in range(own, own + 5)])
        mark = rig.releaser.mark()
        broker.delay = lambda: 0.0  # the look is answered before the batch is
        depth, flow = await broker.depth(UID), await broker.flow(UID)
        assert depth is not None
        assert flow is not None
        rig.releaser.observed(mark, depth, flow)
        await until(lambda: rig.is_all_released)
        assert "lost" not in caplog.text
        assert_exactly_once(broker, 100)
