"""What is learned of workers outlives a time in which nothing is begun, and is not spoilt by it."""

from __future__ import annotations

import asyncio
import random

import pytest

from jobrun_operator.api import JobRun
from jobrun_operator.core.scaling import Observation
from jobrun_operator.engine.ports import WorkersState
from jobrun_operator.engine.staffing import Staffing
from support.engine_rig import manifest


class Asked:
    """The ``Workers`` port, as far as staffing uses it."""

    replicas = 0

    async def scale(self, run: JobRun, replicas: int) -> None:
        self.replicas = replicas


@pytest.mark.parametrize("seconds", [5, 10, 30, 50, 70])
@pytest.mark.parametrize("suspended", [False, True])
async def test_as_many_workers_after_a_hold_as_before(seconds: int, suspended: bool) -> None:
    run = manifest(
        tasks={"count": 10**6}, rate={"tasks": 100, "periodSeconds": 1}, scaling={"maxReplicas": 100}
    )
    asked, drawn = Asked(), random.Random(1)
    staffing = Staffing(asked, None, lambda _: None)
    asked.replicas = 7

    def workers() -> WorkersState:
        return WorkersState(desired=asked.replicas, running=asked.replicas, ready=asked.replicas)

    def seen(rate: float, waiting: int, running: int) -> Observation:
        return Observation(
            asked_rate=100.0,
            release_rate=rate,
            waiting=waiting,
            outstanding=waiting + running,
            completion_rate=rate,
            running=running,
            replicas=asked.replicas,
            ready=asked.replicas,
            more_to_release=True,
            remaining=10**6,
        )

    for _ in range(120):  # tasks of a second, of which 7 times 16 at a time are enough
        await asyncio.sleep(1)
        await staffing.scale(run, seen(100.0, drawn.randint(0, 20), 100), workers())
    assert asked.replicas == 7
    for _ in range(seconds):
        await asyncio.sleep(1)
        if suspended:
            await staffing.dismiss(run, workers())
        else:
            await staffing.keep(run, workers())
    asked.replicas = 7
    for second in range(15):  # what waited is worked off, and the rates of the last 10 s come back
        await asyncio.sleep(1)
        await staffing.scale(run, seen(10.0 * min(10, second), max(0, 200 - 20 * second), 112), workers())
        assert asked.replicas <= 8
