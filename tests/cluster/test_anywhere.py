"""What holds on a real API server and on an emulated one alike: the same tests on both, or on the emulated one alone
where there is no other. What permissions, schemas and real controllers do only the other tests of this folder show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest

from cluster.world import LIMIT, World, job_run
from jobrun_operator.jetstream.client import JetStream
from support.emulated_api import EmulatedPlane
from support.nats_server import NatsServer


@pytest.fixture(params=["real", "emulated"])
async def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "real":
        plane = request.getfixturevalue("control_plane")  # skips with its reason where there is none
        async with NatsServer(tmp_path / "nats") as broker, World.make(plane, broker, tmp_path) as world:
            yield world
        return
    emulated = EmulatedPlane(tmp_path)
    emulated.start()
    try:
        async with (
            NatsServer(tmp_path / "nats") as broker,
            World.emulated(emulated, broker, tmp_path) as world,
        ):
            yield world
    finally:
        emulated.stop()


async def test_a_run_from_its_creation_to_its_end(anywhere: World) -> None:
    world = anywhere
    operator = world.operator()
    await world.create(job_run(tasks={"count": 100}, worker={"python": "work:odd_fails"}))
    run = await world.phase("backfill", "Completed")
    assert run.status.tasks is not None
    assert (run.status.tasks.released, run.status.tasks.succeeded, run.status.tasks.failed) == (100, 50, 50)
    assert run.status.condition("Complete").reason == "CompletedWithFailures"  # type: ignore[union-attr]
    await world.until(lambda: world.kubelet.processes == 0, "no worker is left")
    await world.until(lambda: world.run("backfill").status.replicas == 0, "status says so")
    (deployment,) = world.deployments()
    assert deployment["spec"]["replicas"] == 0
    stored = world.plane.get(f"{world.runs}/backfill")
    assert not stored["metadata"].get("finalizers")
    assert "kopf" not in json.dumps(stored["metadata"].get("annotations") or {})
    await world.until(lambda: len(world.events("backfill")) == 2, "each transition is told, once")
    assert operator.stop() == 0


async def test_suspended_and_resumed(anywhere: World) -> None:
    world = anywhere
    world.operator()
    await world.create(job_run(tasks={"count": 100_000}, rate={"tasks": 50, "periodSeconds": 1}))
    await world.until(lambda: world.kubelet.processes > 0)
    await world.patch("backfill", {"metadata": {"annotations": {"jobrun.dev/paused": "true"}}})
    await world.phase("backfill", "Suspended")
    await world.until(lambda: world.kubelet.processes == 0, "workers end")
    await world.patch("backfill", {"metadata": {"annotations": {"jobrun.dev/paused": None}}})
    await world.phase("backfill", "Running")
    await world.until(lambda: world.kubelet.processes > 0)


async def test_killed_in_the_middle_it_goes_on_where_it_was(anywhere: World) -> None:
    world = anywhere
    operator = world.operator()
    await world.create(
        job_run(tasks={"count": 600}, rate={"tasks": 150, "periodSeconds": 1}, results={"retain": True})
    )
    for released in (50, 250):
        await world.until(
            lambda at=released: (world.run("backfill").status.tasks or 0) and _released(world) >= at
        )
        operator.kill()
        operator.start()
    run = await world.phase("backfill", "Completed")
    assert run.status.tasks is not None
    assert (run.status.tasks.released, run.status.tasks.succeeded) == (600, 600)


def _released(world: World) -> int:
    tasks = world.run("backfill").status.tasks
    return tasks.released if tasks is not None else 0


async def test_deleted_while_no_operator_was_there_its_streams_are_swept(anywhere: World) -> None:
    world = anywhere
    settings = {"relist_seconds": "0.5", "sweep_age_seconds": "0"}
    operator = world.operator(**settings)
    await world.create(job_run("goes", suspend=True), job_run("stays", suspend=True))
    await world.phase("goes", "Suspended")
    stays = await world.phase("stays", "Suspended")
    operator.kill()
    await world.delete("goes")
    operator.start()
    client = await nats.connect(world.broker.url)
    try:
        js = JetStream(client)  # type: ignore[arg-type]  # nothing is denied here
        async with asyncio.timeout(LIMIT):
            while len(streams := await _streams(js)) != 1:  # noqa: ASYNC110  # another process's state: nothing signals it
                await asyncio.sleep(0.05)
    finally:
        await client.close()
    assert streams[0]["config"]["name"] == f"jobrun_{stays.uid}"


async def test_what_the_models_refuse_fails_with_its_reason(anywhere: World) -> None:
    """A source that can't be read: no schema can see that."""
    world = anywhere
    world.operator()
    data = {"data": {"ids.jsonl": '{"a": 1}\nnonsense\n'}, "metadata": {"name": "ids"}}
    world.plane.make(f"/api/v1/namespaces/{world.namespace}/configmaps", data)
    await world.create(job_run(tasks={"configMap": {"name": "ids", "key": "ids.jsonl"}}))
    run = await world.phase("backfill", "Failed")
    condition = run.status.condition("Failed")
    assert condition is not None
    assert condition.reason == "InvalidSource"
    assert "line 2" in condition.message


async def _streams(js: JetStream) -> list[dict[str, Any]]:
    return list((await js.api("STREAM.LIST", {"subject": "jobrun.work.>"}))["streams"])
