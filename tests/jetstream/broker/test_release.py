"""Releasing is exactly-once: a batch is stored whole, in order, behind the sequence it was meant for, or not at all."""

from __future__ import annotations

import asyncio

import pytest

from jobrun_operator.errors import BrokerUnavailable, Conflict, JobRunError
from support.broker_bench import RUN, SOURCE, UID, Bench, payloads


@pytest.fixture(autouse=True)
async def _run(bench: Bench) -> None:
    await bench.streams.provision(RUN, SOURCE)


async def _last_seq(bench: Bench) -> int:
    depth = await bench.observer.depth(UID)
    assert depth is not None
    return depth.last_seq


@pytest.mark.parametrize("count", [1, 2, 3, 10, 11, 100, 101, 250, 251, 252, 501, 999, 1000])
async def test_a_batch_is_stored_whole_and_in_order(bench: Bench, count: int) -> None:
    assert await bench.publisher.release(UID, 0, payloads(count)) == count
    assert await bench.bodies(UID) == payloads(count)


async def test_cancelled_within_a_batch_it_stores_nothing_and_the_next_one_is_whole(bench: Bench) -> None:
    releasing = asyncio.create_task(bench.publisher.release(UID, 0, payloads(1000)))
    await asyncio.sleep(0)
    releasing.cancel()
    await asyncio.wait([releasing])
    after = await _last_seq(bench)  # a bench in memory stores it at once
    assert await bench.publisher.release(UID, after, payloads(1000, after)) == after + 1000
    assert await bench.bodies(UID) == payloads(after + 1000)


async def test_batches_follow_each_other(bench: Bench) -> None:
    last = 0
    for count in (3, 1, 1000, 2):
        last = await bench.publisher.release(UID, last, payloads(count, last))
    assert last == 1006
    assert await bench.bodies(UID) == payloads(1006)


async def test_any_bytes_are_kept_as_they_are(bench: Bench) -> None:
    bodies = [b"", b"\x00\xff\r\n", b"x" * 100_000, '{"ä": "ö"}'.encode()]
    await bench.publisher.release(UID, 0, bodies)
    assert await bench.bodies(UID) == bodies


@pytest.mark.parametrize("count", [1, 2, 1000])
@pytest.mark.parametrize("after", [0, 4, 6, 1000])
async def test_a_batch_behind_another_sequence_stores_nothing(bench: Bench, count: int, after: int) -> None:
    await bench.publisher.release(UID, 0, payloads(5))
    with pytest.raises(Conflict):
        await bench.publisher.release(UID, after, payloads(count))
    assert await bench.bodies(UID) == payloads(5)
    assert await bench.publisher.release(UID, 5, payloads(count, 5)) == 5 + count


async def test_of_racing_publishers_one_wins_each_place(bench: Bench) -> None:
    async def race(size: int) -> int:
        """Release until 200 are there, as an engine does; returns how many were its own."""
        own = 0
        while (last := await _last_seq(bench)) < 200:
            count = min(size, 200 - last)
            try:
                await bench.publisher.release(UID, last, payloads(count, last))
            except Conflict:
                continue
            own += count
        return own

    released = await asyncio.gather(race(1), race(7), race(31))
    assert sum(released) == 200
    assert await bench.bodies(UID) == payloads(200)


async def test_after_a_lost_answer_the_sequence_tells(bench: Bench) -> None:
    with pytest.raises(BrokerUnavailable):
        await bench.release_unanswered(UID, 0, payloads(10))
    assert await _last_seq(bench) == 10
    with pytest.raises(Conflict):
        await bench.publisher.release(UID, 0, payloads(10))
    assert await bench.publisher.release(UID, 10, payloads(10, 10)) == 20
    assert await bench.bodies(UID) == payloads(20)


async def test_acked_tasks_leave_a_sequence_that_never_comes_again(bench: Bench) -> None:
    await bench.publisher.release(UID, 0, payloads(3))
    for task in await bench.take(UID, 3):
        await bench.ack(task)
    assert await _last_seq(bench) == 3
    assert await bench.publisher.release(UID, 3, payloads(1, 3)) == 4


@pytest.mark.parametrize("count", [1, 5])
async def test_a_run_without_a_stream_takes_nothing(bench: Bench, count: int) -> None:
    with pytest.raises(JobRunError):
        await bench.publisher.release("other", 0, payloads(count))
