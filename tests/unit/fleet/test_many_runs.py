"""Hundreds of runs in one engine: what they ask of the broker has a bound, each is looked at, and none waits to act."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from jobrun_operator.api import Phase
from jobrun_operator.core import looks
from support.fleet_rig import FleetRig, clock
from support.virtual_time import until

WARM_UP, SECONDS = 10.0, 9.0
"""Long enough for each run to be held by back-pressure, and to be looked at twice."""
OF_A_LOOK = 3
"""Requests: the stream, the workers' consumer, the dead letters."""
HELD = 1
"""Requests of a look whether there is room again; as many of them are made."""
BESIDE = 100
"""A second: failed attempts, whether outcomes are refused."""


def fleet_of(runs: int) -> FleetRig:
    """Each has a worker that takes nothing, so that all are held by back-pressure: none asks the broker more often."""
    rig = FleetRig()
    rig.broker.pulled = True
    for number in range(runs):
        rig.create(f"{number:04}", maxWaiting=1)
    return rig


@pytest.mark.parametrize("runs", [300, 600])
async def test_requests_have_a_bound_whatever_the_number_of_runs(runs: int) -> None:
    rig = fleet_of(runs)
    async with rig.going():
        await asyncio.sleep(WARM_UP)
        assert all(rig.phase(run.uid) == Phase.RUNNING for run in rig.fleet)
        before = rig.broker.requests
        await asyncio.sleep(SECONDS)
        per_second = (rig.broker.requests - before) / SECONDS
    # Each place in the interval is met at most once more than the interval fits into what was watched.
    margin = 1 + looks.interval(1.0, runs) / SECONDS
    assert per_second <= looks.LOOKS_PER_SECOND * (OF_A_LOOK + HELD) * margin + BESIDE
    assert per_second >= looks.LOOKS_PER_SECOND * OF_A_LOOK / margin


async def test_each_run_is_looked_at_within_the_longest_interval() -> None:
    rig = fleet_of(600)
    looked: Counter[str] = Counter()
    flow = rig.broker.flow

    async def counted(uid: str) -> object:
        looked[uid] += 1
        return await flow(uid)

    rig.broker.flow = counted  # type: ignore[method-assign,assignment]
    async with rig.going():
        await asyncio.sleep(WARM_UP)
        looked.clear()
        await asyncio.sleep(looks.MOST_SECONDS)
        assert set(looked) == {run.uid for run in rig.fleet}


async def test_an_edit_acts_at_once_in_a_large_fleet() -> None:
    rig = fleet_of(600)
    async with rig.going():
        await asyncio.sleep(WARM_UP)
        began = clock()
        rig.fleet.tell(rig.statuses.edit("0007", suspend=True))
        await until(lambda: "pause 0007" in rig.broker.calls, every=0.01)
        assert clock() - began < 0.1


async def test_a_first_release_asks_for_workers_at_once_in_a_large_fleet() -> None:
    rig = fleet_of(600)
    async with rig.going():
        await asyncio.sleep(WARM_UP)
        rig.create("new", rate=None, maxWaiting=None)
        rig.fleet.tell(rig.statuses["new"])
        await until(lambda: any(task.uid == "new" for task in rig.broker.stored), every=0.01)
        began = clock()
        await until(lambda: any(uid == "new" and replicas for uid, replicas in rig.workers.asked), every=0.01)
        assert clock() - began < 1.0
