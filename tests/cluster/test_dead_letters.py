"""``jobrun dead retry`` on a cluster: a complete run goes on with what its workers do now, and completes once more."""

from __future__ import annotations

from cluster.world import World, job_run
from support.command_line import jobrun_soon


async def test_a_complete_run_goes_on_for_its_dead_letters(world: World) -> None:
    world.operator()
    retry = {"maxAttempts": 1}
    await world.apply(
        job_run(
            tasks={"count": 10}, worker={"python": "work:odd_fails"}, retry=retry, results={"retain": True}
        )
    )
    first = await world.phase("backfill", "Completed")
    assert first.status.tasks is not None
    assert (first.status.tasks.succeeded, first.status.tasks.failed) == (5, 5)
    await world.until(lambda: world.run("backfill").status.replicas == 0, "no worker is asked for")
    await world.patch("backfill", {"spec": {"worker": {"python": "work:double"}}})
    asked = await jobrun_soon(
        "dead", "retry", "backfill", "-n", world.namespace, "--all", JOBRUN_NATS_URL=world.broker.url
    )
    assert asked.stdout == "dead letters to be retried: 5\n", asked.stderr

    def succeeded() -> bool:
        status = world.run("backfill").status
        return status.phase == "Completed" and status.tasks is not None and status.tasks.succeeded == 10

    await world.until(succeeded, "all have succeeded")
    run = world.run("backfill")
    assert run.status.tasks is not None
    assert (run.status.tasks.failed, run.status.tasks.outstanding) == (0, 0)
    complete = run.status.condition("Complete")
    assert complete is not None
    assert complete.reason == "Completed"
    await world.until(lambda: world.kubelet.processes == 0, "no worker is left")
    reasons = [event["reason"] for event in world.events("backfill")]
    assert "Retrying" in reasons
    left = await jobrun_soon(
        "dead", "list", "backfill", "-n", world.namespace, JOBRUN_NATS_URL=world.broker.url
    )
    assert left.stderr == "no dead letters\n"
