"""An operator that is killed, and two at once: every task is released once, and the status is right.

``JOBRUN_LONG_TESTS=1`` kills ten times rather than three.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from functools import partial

from cluster.test_complete import outcomes
from cluster.world import World, job_run
from support.pace import worst_excess

KILLS = 10 if os.environ.get("JOBRUN_LONG_TESTS") else 3
RATE = 40
PER_LIFE = 50
"""Tasks that are released in each life of the operator, about."""

HAIR = 1e-3
"""Of a task: recorded times have microseconds."""


def has_released(world: World, tasks: int) -> bool:
    counts = world.run("backfill").status.tasks
    return counts is not None and counts.released >= tasks


async def test_killed_again_and_again(world: World) -> None:
    total = PER_LIFE * (KILLS + 1)
    operator = world.operator()
    await world.apply(
        job_run(
            tasks={"count": total},
            rate={"tasks": RATE, "periodSeconds": 1, "burst": RATE},
            results={"retain": True},
        )
    )
    for life in range(1, KILLS + 1):
        await world.until(partial(has_released, world, PER_LIFE * life))
        operator.kill()
        operator.start()
    run = await world.phase("backfill", "Completed", limit=120)
    assert run.status.tasks is not None
    assert (run.status.tasks.released, run.status.tasks.succeeded, run.status.tasks.failed) == (
        total,
        total,
        0,
    )
    results = await outcomes(world, run.uid, total)
    assert [one.index for one in results] == list(range(total))
    times = sorted(datetime.fromisoformat(one.released_at).timestamp() for one in results)
    assert worst_excess(times, RATE, burst=RATE) < HAIR
    reasons = [one["reason"] for one in world.events("backfill")]
    assert sorted(reasons) == ["Completed", "Started"]
    assert len(world.deployments()) == 1


async def test_two_at_once(world: World) -> None:
    first, second = world.operator(), world.operator()
    await world.apply(
        job_run(
            tasks={"count": 300},
            rate={"tasks": 60, "periodSeconds": 1, "burst": 20},
            results={"retain": True},
        )
    )
    run = await world.phase("backfill", "Completed", limit=90)
    assert run.status.tasks is not None
    assert (run.status.tasks.succeeded, run.status.tasks.failed) == (300, 0)
    results = await outcomes(world, run.uid, 300)
    assert len(results) == 300
    times = sorted(datetime.fromisoformat(one.released_at).timestamp() for one in results)
    # One bucket's worth for both: neither stores anything before it has seen, and charged, what the other has stored.
    assert worst_excess(times, 60, burst=20) < HAIR
    conflicts = sum(
        value
        for operator in (first, second)
        for (name, labels), value in operator.samples().items()
        if name == "jobrun_api_request_seconds_count" and ("code", "409") in labels
    )
    seconds = times[-1] - times[0]
    assert conflicts <= 2 * seconds + 10  # at each look at most one of the two was late
    reasons = sorted(one["reason"] for one in world.events("backfill"))
    assert reasons == ["Completed", "Started"]


async def test_ends_within_seconds_and_leaves_runs_as_they_are(world: World) -> None:
    operator = world.operator()
    await world.apply(job_run(tasks={"count": 100_000}, rate={"tasks": 50, "periodSeconds": 1}))
    await world.phase("backfill", "Running")
    await world.until(lambda: world.kubelet.processes > 0)
    before = world.deployments()[0]["spec"]["replicas"]
    assert await asyncio.to_thread(operator.stop) == 0
    assert world.run("backfill").status.phase == "Running"
    assert world.deployments()[0]["spec"]["replicas"] == before
    assert not [line for line in operator.logged() if line["level"] == "error"]
