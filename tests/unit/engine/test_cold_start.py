"""Workers that take their time to start find what was released until then; their calls follow the rate all the same."""

from __future__ import annotations

import pytest

from support.pace import most_in_a_window
from support.release_rig import UID, ReleaseRig, background, every, now, releasing
from support.virtual_time import until

_LOOK = 0.25
"""Seconds between two looks."""


async def _call(rig: ReleaseRig, calls: list[float]) -> None:
    for task in await rig.broker.take(UID, 1000):
        calls.append(now())
        await rig.broker.ack(task)


@pytest.mark.parametrize("cold_start", [0.0, 0.5, 0.9, 1.1, 1.5, 1.9, 5.0])
async def test_calls_over_ten_seconds_keep_to_rate_and_burst(cold_start: float) -> None:
    async with releasing(10_000) as rig:
        rig.ask(100.0, 100, max_waiting=200)
        calls: list[float] = []
        begin = now()
        async with background(every(_LOOK, rig.look)):
            await until(lambda: now() >= begin + cold_start)
            async with background(every(0.02, lambda: _call(rig, calls))):
                await until(lambda: now() >= begin + 40)
        assert most_in_a_window(calls, 10.0) <= 10 * 100 + 100 + 100 * _LOOK  # a start is seen by looking
        assert len(calls) >= 100 * (40 - cold_start) - 100  # what is lost is the time without workers


async def test_workers_that_pause_less_than_the_bucket_needs_to_fill_cost_nothing() -> None:
    """Half a second without a call, again and again: the burst is for that."""
    async with releasing(10_000) as rig:
        rig.ask(100.0, 100, max_waiting=200)
        calls: list[float] = []
        begin = now()
        async with background(every(_LOOK, rig.look)), background(every(0.5, lambda: _call(rig, calls))):
            await until(lambda: now() >= begin + 50)
        assert len(calls) >= 100 * 49
