"""What is left of runs that are gone: nothing, whoever deleted them and whenever; and nothing else is touched."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import nats

from cluster.world import World, job_run
from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.streams import JetStreamWorkStreams

SWEEPS_AT_ONCE = {"relist_seconds": "0.5", "sweep_age_seconds": "0"}


async def streams(world: World) -> set[str]:
    """Names of all streams of runs at the broker."""
    client = await nats.connect(world.broker.url)
    try:
        answer = await JetStream(client).api("STREAM.NAMES")
    finally:
        await client.close()
    return {
        name for name in answer.get("streams") or [] if name.startswith("jobrun_") and name != "jobrun_events"
    }


async def until_streams(world: World, wanted: set[str]) -> None:
    async with asyncio.timeout(30):
        while True:
            if (found := await streams(world)) == wanted:
                return
            await asyncio.sleep(0.1)
            assert found >= wanted, f"{wanted - found} should have been left alone"


async def test_deleted_while_the_operator_watches(world: World) -> None:
    world.operator()
    await world.apply(job_run(tasks={"count": 100_000}, rate={"tasks": 50, "periodSeconds": 1}))
    await world.phase("backfill", "Running")
    await world.until(lambda: world.kubelet.processes > 0)
    uid = world.run("backfill").uid
    assert await streams(world) == {f"jobrun_{uid}", f"jobrun_{uid}_out"}
    for how in ("background", "foreground"):
        await world.kubectl("delete", "jobrun", "backfill", f"--cascade={how}", "--timeout=30s")
        await until_streams(world, set())
        await world.until(lambda: not world.deployments() and world.kubelet.processes == 0)
        if how == "background":
            await world.apply(job_run(tasks={"count": 100_000}, rate={"tasks": 50, "periodSeconds": 1}))
            await world.phase("backfill", "Running")
            await world.until(lambda: world.kubelet.processes > 0)


async def test_deleted_while_the_operator_is_away(world: World) -> None:
    """Also under a name that is used again; the streams of other installations stay, and those of runs that exist."""
    operator = world.operator(**SWEEPS_AT_ONCE)
    await world.apply(*(job_run(name, suspend=True) for name in ("gone", "again", "stays")))
    for name in ("gone", "again", "stays"):
        await world.phase(name, "Suspended")
    await foreign_streams(world)
    before = {name: world.run(name).uid for name in ("gone", "again", "stays")}
    assert len(await streams(world)) == 2 * 3 + 2
    await asyncio.to_thread(operator.stop)
    await world.kubectl("delete", "jobrun", "gone", "again")
    await world.apply(job_run("again", suspend=True))
    operator.start()
    await world.phase("again", "Suspended")
    uids = [before["stays"], world.run("again").uid, "00000000-foreign"]
    await until_streams(world, {name for uid in uids for name in (f"jobrun_{uid}", f"jobrun_{uid}_out")})
    # Two more comparisons change nothing.
    counted = requests(operator.samples())
    await world.until(lambda: requests(operator.samples()) >= counted + 2)
    assert len(await streams(world)) == 6


async def test_deleted_without_an_operator_its_workers_go_all_the_same(world: World) -> None:
    """By the owner reference; what it had at the broker goes when there is an operator again."""
    operator = world.operator(**SWEEPS_AT_ONCE)
    await world.apply(job_run(tasks={"count": 9999}, rate={"tasks": 9, "periodSeconds": 1}))
    await world.phase("backfill", "Running")
    await world.until(lambda: world.kubelet.processes > 0)
    operator.kill()
    await world.kubectl("delete", "jobrun", "backfill", "--cascade=foreground", "--timeout=30s")
    await world.until(lambda: not world.deployments() and world.kubelet.processes == 0)
    assert len(await streams(world)) == 2
    operator.start()
    await until_streams(world, set())


async def test_a_namespace_with_running_runs_is_deleted_within_seconds(world: World) -> None:
    world.operator(everywhere=True, **SWEEPS_AT_ONCE)
    names = ["one", "two", "three"]
    await world.apply(
        *(job_run(name, tasks={"count": 9999}, rate={"tasks": 9, "periodSeconds": 1}) for name in names)
    )
    for name in names:
        await world.phase(name, "Running")
    await world.until(lambda: world.kubelet.processes >= 3)
    began = time.monotonic()
    await world.kubectl("delete", "namespace", world.namespace, "--timeout=30s")
    assert time.monotonic() - began < 20
    await until_streams(world, set())


async def test_a_namespace_is_deleted_without_an_operator(world: World) -> None:
    """What its runs had at the broker goes when there is an operator again; what others have there stays."""
    operator = world.operator()
    await world.apply(job_run(tasks={"count": 9999}, rate={"tasks": 9, "periodSeconds": 1}))
    await world.phase("backfill", "Running")
    await foreign_streams(world)
    operator.kill()
    await world.kubectl("delete", "namespace", world.namespace, "--timeout=30s")
    assert len(await streams(world)) == 2 + 2
    world.operator(everywhere=True, **SWEEPS_AT_ONCE)
    await until_streams(world, {"jobrun_00000000-foreign", "jobrun_00000000-foreign_out"})


async def test_freed_and_deleted_in_their_time(world: World) -> None:
    world.operator(relist_seconds="1")  # it also looks so often for what is due
    await world.apply(
        job_run("freed", tasks={"count": 5}, cleanupSecondsAfterFinished=0),
        job_run("deleted", tasks={"count": 5}, ttlSecondsAfterFinished=0),
    )
    await world.phase("freed", "Completed")
    await world.until(lambda: world.plane.request("GET", f"{world.runs}/deleted")[0] == 404)
    await until_streams(world, set())
    await world.until(lambda: not world.deployments())
    assert world.run("freed").status.tasks.succeeded == 5  # type: ignore[union-attr]


async def foreign_streams(world: World) -> None:
    """Of another installation on the same broker, whose run does not exist here either."""
    client = await nats.connect(world.broker.url)
    try:
        other = JetStreamWorkStreams(JetStream(client), LayoutSettings(installation="another"))
        run = RunRef(world.namespace, "gone", "00000000-foreign")
        await other.provision(run, SourceSummary(1, "sha256:0"))
    finally:
        await client.close()


def requests(samples: dict[Any, float]) -> float:
    """Lists of runs so far."""
    return sum(
        value
        for (name, labels), value in samples.items()
        if name == "jobrun_api_request_seconds_count"
        and ("resource", "jobruns") in labels
        and ("verb", "GET") in labels
    )
