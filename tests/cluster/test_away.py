"""The API server and the broker, each away in mid-run: what needs it pauses and goes on, and replicas hold.

``JOBRUN_LONG_TESTS=1`` keeps each away for a minute rather than some seconds.
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import datetime
from typing import Any

import nats

from cluster.test_complete import outcomes
from cluster.test_killed import HAIR
from cluster.world import World, job_run
from jobrun_operator.jetstream.client import JetStream
from support.operator_process import OperatorProcess
from support.pace import worst_excess

LONG = bool(os.environ.get("JOBRUN_LONG_TESTS"))
TRIES = 12
"""Requests that were in vain, at least, while the API server was away."""

AWAY = 60.0 if LONG else 3.0
"""Seconds that the API server or the broker is away."""

MORE = 40.0 if LONG else 11.0
"""Seconds that a run has beyond the outage: it is not to end before."""

RATE = 40


async def started(world: World, tasks: int, **settings: str) -> None:
    world.operator(**settings)
    await world.apply(
        job_run(
            tasks={"count": tasks},
            rate={"tasks": RATE, "periodSeconds": 1, "burst": RATE},
            results={"retain": True},
            scaling={"minReplicas": 2, "maxReplicas": 2},
        )
    )
    await world.phase("backfill", "Running")
    await world.until(lambda: world.run("backfill").status.ready_replicas == 2)


async def completed(world: World, tasks: int) -> None:
    run = await world.phase("backfill", "Completed", limit=120)
    assert run.status.tasks is not None
    assert (run.status.tasks.released, run.status.tasks.succeeded) == (tasks, tasks)
    results = await outcomes(world, run.uid, tasks)
    assert [one.index for one in results] == list(range(tasks))
    times = [datetime.fromisoformat(one.released_at).timestamp() for one in results]
    assert worst_excess(times, RATE, burst=RATE) < HAIR, "what was missed is not caught up"


async def released(world: World, uid: str) -> int:
    """By the broker."""
    client = await nats.connect(world.broker.url)
    try:
        answer = await JetStream(client).api(f"STREAM.INFO.jobrun_{uid}")
    finally:
        await client.close()
    return int(answer["state"]["last_seq"])


async def test_the_api_server_away(world: World) -> None:
    tasks = int(RATE * (AWAY + MORE))
    await started(world, tasks)
    (operator,) = world.operators
    uid = world.run("backfill").uid
    await asyncio.to_thread(world.plane.stop_api)
    before = await released(world, uid)
    try:
        await world.until(lambda: operator.answer("/readyz")[0] == 503, "not ready")
        assert "Kubernetes API" in operator.answer("/readyz")[1]
        since = time.monotonic()
        await world.until(lambda: time.monotonic() - since >= AWAY, "an outage that lasts", limit=120)
        await world.until(lambda: in_vain(operator) >= TRIES, "it is tried again and again")
        assert operator.answer("/healthz")[0] == 200
        assert world.kubelet.processes == 2
        assert await released(world, uid) - before >= RATE, "releasing needs the broker only"
    finally:
        await asyncio.to_thread(world.plane.start_api)
    await world.until(lambda: operator.answer("/readyz")[0] == 200, "ready again")
    await world.until(lambda: told_released(world) >= before + RATE, "a status that has caught up")
    run = world.run("backfill")
    assert (run.status.phase, run.status.ready_replicas) == ("Running", 2)
    ready = run.status.condition("Ready")
    assert ready is not None
    assert ready.is_true
    await completed(world, tasks)
    assert {asked.replicas for asked in world.kubelet.asked[:-1]} <= {0, 2}
    assert [asked.replicas for asked in world.kubelet.asked].count(2) == 1  # held all the while
    assert operator.running
    warnings = [line for line in operator.logged() if line["level"] == "warning"]
    assert len(warnings) < 60  # however many looks were in vain
    # A watch that was begun again tells of new runs.
    await world.apply(job_run("another", tasks={"count": 1}))
    await world.phase("another", "Completed")


async def test_the_broker_away(world: World) -> None:
    tasks = int(RATE * (AWAY + 4))
    await started(world, tasks)
    (operator,) = world.operators
    await world.broker.kill()
    trouble = await world.until(lambda: not_ready(world), "the condition says so")
    assert trouble == "BrokerUnavailable"
    assert operator.answer("/readyz")[0] == 503
    since = time.monotonic()
    await world.until(lambda: time.monotonic() - since >= AWAY, "an outage that lasts", limit=120)
    assert operator.answer("/healthz")[0] == 200
    assert world.run("backfill").status.phase == "Running"
    assert world.deployments()[0]["spec"]["replicas"] == 2
    # More runs may come meanwhile.
    await world.apply(job_run("another", tasks={"count": 1}))
    await world.broker.start()
    await completed(world, tasks)
    await world.phase("another", "Completed")
    assert [asked.replicas for asked in world.kubelet.asked].count(2) == 1
    told = [one for one in world.events("backfill") if one["reason"] == "BrokerUnavailable"]
    assert len(told) == 1


async def test_waits_for_a_broker_and_says_so(world: World) -> None:
    await world.broker.stop()
    operator = world.operator()
    await world.until(lambda: "broker" in operator.answer("/readyz")[1])
    assert operator.answer("/readyz")[0] == 503
    assert operator.answer("/healthz")[0] == 200
    await world.broker.start()
    await world.until(lambda: operator.answer("/readyz")[0] == 200)
    samples = operator.samples()
    assert samples["jobrun_broker_connected", ()] == 1


async def test_the_crd_away_before_the_start_and_later(world: World) -> None:
    """It waits for it and says so; removed later, it takes the runs with it, and the next ones are seen again."""
    definition = await remove_definition(world)
    operator = world.operator(relist_seconds="1", sweep_age_seconds="0")
    try:
        await world.until(lambda: "CustomResourceDefinition" in operator.answer("/readyz")[1])
    finally:
        world.plane.make(DEFINITIONS, definition)
    await world.until(lambda: operator.answer("/readyz")[0] == 200)
    await world.apply(job_run(tasks={"count": 9999}, rate={"tasks": 9, "periodSeconds": 1}))
    await world.phase("backfill", "Running")
    await world.until(lambda: world.deployments())
    try:
        await remove_definition(world)
        await world.until(lambda: not world.deployments(), "its Deployment is removed")
        assert operator.answer("/healthz")[0] == 200
    finally:
        world.plane.make(DEFINITIONS, definition)
    await world.until(lambda: world.plane.request("GET", world.runs)[0] == 200)
    await world.apply(job_run("next", tasks={"count": 3}))
    await world.phase("next", "Completed")
    assert operator.running


DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def remove_definition(world: World) -> dict[str, Any]:
    """The CRD, to make it again."""
    path = f"{DEFINITIONS}/jobruns.jobrun.dev"
    definition = world.plane.get(path)
    world.plane.request("DELETE", path)
    await world.until(lambda: world.plane.request("GET", path)[0] == 404)
    definition["metadata"] = {"name": definition["metadata"]["name"]}
    definition.pop("status", None)
    return definition


def told_released(world: World) -> int:
    counts = world.run("backfill").status.tasks
    return counts.released if counts else 0


def in_vain(operator: OperatorProcess) -> float:
    return sum(
        value
        for (name, labels), value in operator.samples().items()
        if name == "jobrun_api_request_seconds_count" and ("code", "0") in labels
    )


def not_ready(world: World) -> str:
    condition = world.run("backfill").status.condition("Ready")
    return "" if condition is None or condition.is_true else condition.reason
