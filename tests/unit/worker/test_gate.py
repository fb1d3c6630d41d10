"""Who may start, in which order, and who is sent back."""

from __future__ import annotations

import asyncio

import pytest

from jobrun_worker.gate import Gate


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_no_more_than_the_slots_run_and_the_rest_come_in_order() -> None:
    gate = Gate(2)
    order: list[int] = []

    async def come(number: int) -> None:
        assert await gate.enter()
        order.append(number)

    comers = [asyncio.create_task(come(number)) for number in range(4)]
    await settle()
    assert (order, gate.running) == ([0, 1], 2)
    gate.leave()
    await settle()
    assert (order, gate.running) == ([0, 1, 2], 2)
    gate.leave()
    await asyncio.gather(*comers)
    assert order == [0, 1, 2, 3]


async def test_nobody_overtakes_who_waits() -> None:
    gate = Gate(1)
    assert gate.try_enter()
    waiting = asyncio.create_task(gate.enter())
    await settle()
    gate.leave()
    assert not gate.try_enter()
    assert await waiting


async def test_a_bar_makes_wait_and_a_refusal_sends_back() -> None:
    gate = Gate(2)
    gate.bar("alone")
    waiting = asyncio.create_task(gate.enter())
    await settle()
    assert not waiting.done()
    gate.refuse("alone")
    assert await waiting is False
    assert await gate.enter() is False
    gate.open("alone")
    assert await gate.enter() is True


async def test_a_gate_opens_when_the_last_reason_is_gone() -> None:
    gate = Gate(1)
    gate.refuse("hold")
    gate.refuse("drain")
    gate.open("hold")
    assert gate.refusing
    assert await gate.enter() is False
    gate.open("drain")
    assert await gate.enter() is True


async def test_a_waiter_that_is_cancelled_takes_no_slot() -> None:
    gate = Gate(1)
    assert gate.try_enter()
    first, second = (asyncio.create_task(gate.enter()) for _ in range(2))
    await settle()
    first.cancel()
    gate.leave()
    assert await second
    assert gate.running == 1


async def test_a_waiter_that_is_cancelled_just_as_its_turn_comes_passes_it_on() -> None:
    gate = Gate(1)
    assert gate.try_enter()
    first, second = (asyncio.create_task(gate.enter()) for _ in range(2))
    await settle()
    gate.leave()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second
    assert gate.running == 1
