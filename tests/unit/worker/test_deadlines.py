"""Time limits on the loop's own clock, with limits that are over at once."""

from __future__ import annotations

import asyncio

from jobrun_worker.deadlines import Deadlines
from jobrun_worker.held import Held
from jobrun_worker.wire import Delivery


def held(index: int) -> Held:
    return Held.of(Delivery(index, 1, 0), b"reply", b"")


async def test_all_that_are_over_their_limit_are_told_once() -> None:
    over: list[int] = []
    last = asyncio.Event()

    def expired(one: Held) -> None:
        over.append(one.index)
        if one.index == 3:
            last.set()

    deadlines = Deadlines(0.01, expired)
    tasks = [held(index) for index in range(4)]
    for one in tasks:
        deadlines.add(one)
    deadlines.discard(tasks[1])
    await asyncio.wait_for(last.wait(), 30)
    assert over == [0, 2, 3]


async def test_a_task_that_comes_later_has_its_own_limit() -> None:
    over: list[int] = []
    done = asyncio.Event()

    def expired(one: Held) -> None:
        over.append(one.index)
        if one.index == 0:
            deadlines.add(held(1))
        else:
            done.set()

    deadlines = Deadlines(0.01, expired)
    deadlines.add(held(0))
    await asyncio.wait_for(done.wait(), 30)
    assert over == [0, 1]


async def test_nothing_is_told_after_the_end() -> None:
    deadlines = Deadlines(0, lambda one: (_ for _ in ()).throw(AssertionError(one)))
    deadlines.add(held(0))
    deadlines.close()
    await asyncio.sleep(0)


async def test_a_discarded_task_counts_as_ended() -> None:
    deadlines = Deadlines(60, lambda one: None)
    one = held(0)
    deadlines.add(one)
    assert one.deadline > 0
    deadlines.discard(one)
    assert one.deadline == 0
    deadlines.close()
