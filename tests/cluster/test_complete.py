"""``kubectl apply`` of a manifest, to Completed: what a user does and sees, on a real API server."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import nats

from cluster.world import World, job_run
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.results import read_outcomes
from jobrun_worker.wire import Names, Outcome


async def outcomes(world: World, uid: str, total: int) -> list[Outcome]:
    client = await nats.connect(world.broker.url)
    try:
        return [one async for one in read_outcomes(JetStream(client), Names(), uid, total)]
    finally:
        await client.close()


async def test_from_apply_to_completed(world: World) -> None:
    operator = world.operator()
    await world.apply(job_run(tasks={"count": 200}, results={"retain": True}))
    run = await world.phase("backfill", "Completed")
    assert run.status.tasks is not None
    assert (run.status.tasks.total, run.status.tasks.succeeded, run.status.tasks.failed) == (200, 200, 0)
    await world.until(lambda: world.kubelet.processes == 0, "no worker is left")
    await world.until(lambda: world.run("backfill").status.replicas == 0, "status says so")
    (deployment,) = world.deployments()
    assert deployment["spec"]["replicas"] == 0

    results = await outcomes(world, run.uid, 200)
    assert [json.loads(one.body) for one in results] == [{"doubled": 2 * index} for index in range(200)]
    pods = {one.worker for one in results}
    assert all(name.startswith(deployment["metadata"]["name"]) for name in pods)

    stored = world.plane.get(f"{world.runs}/backfill")
    assert not stored["metadata"].get("finalizers")
    assert set(stored["metadata"]["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}
    assert all("kopf" not in json.dumps(entry) for entry in stored["metadata"]["managedFields"])
    assert operator.stop() == 0


async def test_every_field_that_is_written_is_kept(world: World) -> None:
    """The API server drops what the CRD does not have; a status with failures and a suspension has it all."""
    world.operator()
    await world.apply(job_run(tasks={"count": 10}, worker={"python": "work:odd_fails"}, suspend=True))
    await world.phase("backfill", "Suspended")
    await world.kubectl("patch", "jobrun", "backfill", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    run = await world.phase("backfill", "Completed")
    await world.until(lambda: world.run("backfill").status.replicas == 0)
    stored = world.plane.get(f"{world.runs}/backfill")["status"]
    known = {
        "completionTime", "conditions", "lastErrors", "limitedBy", "observedGeneration", "phase", "readyReplicas",
        "replicas", "source", "startTime", "stream", "summary", "suspendedSeconds", "tasks",
    }  # fmt: skip
    assert set(stored) | {"suspendedSeconds"} == known
    assert run.status.tasks is not None
    assert (run.status.tasks.succeeded, run.status.tasks.failed) == (5, 5)
    assert run.status.condition("Complete").reason == "CompletedWithFailures"  # type: ignore[union-attr]
    assert stored["lastErrors"]


async def test_what_people_watch(world: World) -> None:
    """Columns, conditions to wait for, and Events that are told once."""
    world.operator()
    template = "jsonpath={.status.phase}{' '}"
    watching = asyncio.create_task(
        world.kubectl("get", "jobruns", "-w", "-o", template, "--request-timeout=8s", check=False)
    )
    await world.apply(job_run(tasks={"count": 40}))
    waited = await world.kubectl("wait", "--for=condition=Complete", "jobrun/backfill", "--timeout=60s")
    assert "condition met" in waited.stdout
    await world.kubectl("wait", "--for=condition=Finished", "jobrun/backfill", "--timeout=10s")
    headings, row = (await world.kubectl("get", "jobruns")).stdout.splitlines()
    assert headings.split()[:3] == ["NAME", "PHASE", "PROGRESS"]
    assert row.split()[:3] == ["backfill", "Completed", "100%"]
    await world.until(lambda: {one["reason"] for one in world.events("backfill")} >= {"Started", "Completed"})
    told = [(one["reason"], one["type"], one.get("series")) for one in world.events("backfill")]
    assert sorted(told) == [("Completed", "Normal", None), ("Started", "Normal", None)]
    described = (await world.kubectl("describe", "jobrun", "backfill")).stdout
    assert "all 40 tasks succeeded" in described
    story = (await watching).stdout.split()
    phases = [phase for before, phase in pairwise(["", *story]) if phase != before]
    assert phases in (["Pending", "Running", "Completed"], ["Running", "Completed"])


async def test_paused_by_annotation(world: World) -> None:
    world.operator()
    await world.apply(job_run(tasks={"count": 100_000}, rate={"tasks": 50, "periodSeconds": 1}))
    await world.phase("backfill", "Running")
    await world.until(lambda: world.kubelet.processes > 0)
    await world.kubectl("annotate", "jobrun", "backfill", "jobrun.dev/paused=true")
    run = await world.phase("backfill", "Suspended")
    said = run.status.condition("Suspended").message  # type: ignore[union-attr]
    assert "the annotation jobrun.dev/paused" in said
    await world.until(lambda: world.kubelet.processes == 0, "workers end")
    await world.kubectl("annotate", "jobrun", "backfill", "jobrun.dev/paused-")
    await world.phase("backfill", "Running")
    await world.until(lambda: world.kubelet.processes > 0)


async def test_a_failing_run_fails_when_no_worker_runs(world: World) -> None:
    world.operator()
    await world.apply(
        job_run(
            tasks={"count": 1000},
            worker={"python": "work:odd_fails"},
            failurePolicy={"maxFailedTasks": 3},
            rate={"tasks": 100, "periodSeconds": 1},
        )
    )
    run = await world.phase("backfill", "Failed")
    assert world.kubelet.processes == 0
    assert run.status.condition("Failed").reason == "FailurePolicyExceeded"  # type: ignore[union-attr]
    await world.kubectl("wait", "--for=condition=Failed", "jobrun/backfill", "--timeout=5s")
    reasons: dict[str, Any] = {one["reason"]: one["type"] for one in world.events("backfill")}
    assert reasons["FailurePolicyExceeded"] == "Warning"
