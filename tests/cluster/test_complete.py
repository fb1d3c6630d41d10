"""``kubectl apply`` of a manifest, to Completed: what a user does, on a real API server."""

from __future__ import annotations

from cluster.world import World, job_run


async def test_from_apply_to_completed(world: World) -> None:
    operator = world.operator()
    world.apply(job_run(tasks={"count": 200}, results={"retain": True}))
    run = await world.phase("backfill", "Completed")
    assert run.status.tasks is not None
    assert (run.status.tasks.total, run.status.tasks.succeeded, run.status.tasks.failed) == (200, 200, 0)
    await world.until(lambda: world.kubelet.processes == 0, "no worker is left")
    (deployment,) = world.deployments()
    assert deployment["spec"]["replicas"] == 0
    assert operator.stop() == 0
