"""Writes within the budget, the urgent first, and every run's progress in its turn."""

from __future__ import annotations

import asyncio

from jobrun_operator.kubernetes.budget import Urgency, WriteBudget

PER_SECOND = 20.0


def clock() -> float:
    return asyncio.get_running_loop().time()


def most_in(times: list[float], window: float) -> int:
    return max(sum(start <= time < start + window for time in times) for start in times)


async def test_never_more_than_the_budget() -> None:
    budget = WriteBudget(PER_SECOND)
    times: list[float] = []

    async def write() -> None:
        await budget.take(Urgency.TRANSITION)
        times.append(clock())

    await asyncio.gather(*(write() for _ in range(400)))
    assert most_in(times, 1.0) <= 2 * PER_SECOND
    assert 380 / PER_SECOND <= times[-1] <= 381 / PER_SECOND


async def test_scaling_comes_before_transitions_and_those_before_events() -> None:
    budget = WriteBudget(PER_SECOND)
    order: list[Urgency] = []

    async def write(urgency: Urgency) -> None:
        await budget.take(urgency)
        order.append(urgency)

    first = [asyncio.create_task(write(Urgency.TRANSITION)) for _ in range(20)]
    await asyncio.gather(*first)
    order.clear()
    kinds = [Urgency.EVENT, Urgency.TRANSITION, Urgency.SCALE] * 10
    await asyncio.gather(*(write(kind) for kind in kinds))
    assert order == sorted(kinds)


async def test_one_that_gives_up_costs_nothing() -> None:
    budget = WriteBudget(1.0)
    await budget.take(Urgency.SCALE)
    waiting = [asyncio.create_task(budget.take(Urgency.SCALE)) for _ in range(50)]
    await asyncio.sleep(0)
    for task in waiting[:-1]:
        task.cancel()
    await asyncio.wait_for(waiting[-1], 1.1)


async def test_progress_of_every_run_in_turn() -> None:
    budget = WriteBudget(PER_SECOND)
    written = {f"run{number}": 0 for number in range(200)}
    for _ in range(100):
        for uid in written:
            written[uid] += budget.may_show_progress(uid)
        await asyncio.sleep(1)
    total = sum(written.values())
    assert PER_SECOND * 0.5 * 100 <= total <= PER_SECOND * 101
    assert max(written.values()) - min(written.values()) <= 1


async def test_progress_never_delays_what_is_urgent() -> None:
    budget = WriteBudget(PER_SECOND)
    worst = 0.0
    for second in range(60):
        for number in range(200):
            budget.may_show_progress(f"run{number}")
        if second > 2:
            before = clock()
            await budget.take(Urgency.SCALE)
            worst = max(worst, clock() - before)
        await asyncio.sleep(1)
    assert worst <= 0.06


async def test_what_waits_is_told() -> None:
    told: list[int] = []
    budget = WriteBudget(PER_SECOND, on_waiting=told.append)
    await asyncio.gather(*(budget.take(Urgency.EVENT) for _ in range(30)))
    assert max(told) == 10
    assert told[-1] == 0
