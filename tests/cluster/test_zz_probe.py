import asyncio
from cluster.world import World, job_run
async def test_probe(world: World) -> None:
    world.operator()
    await world.apply(job_run(tasks={"count": 3}))
    await world.phase("backfill", "Completed")
    await world.until(lambda: world.run("backfill").status.replicas == 0, "zero")
    await world.kubectl("patch", "jobrun", "backfill", "--type=merge", "-p", '{"spec":{"cleanupSecondsAfterFinished":3600}}')
    await asyncio.sleep(8)
    run = world.run("backfill")
    print("GEN", run.metadata.generation, run.status.observed_generation)
