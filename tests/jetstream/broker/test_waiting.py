"""The age of the oldest task that waits, off the stream, by the broker's own time of storing it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jobrun_operator.api import JobRun, JobRunStatus, Phase, TaskCounts
from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.jetstream.waiting import first_waiting, oldest_waiting
from support.jetstream_bench import JetStreamBench
from support.manifests import manifest

UID = "0001"


def _run(released: int, waiting: int, phase: Phase = Phase.RUNNING, uid: str = UID) -> JobRun:
    run = JobRun.from_wire(manifest())
    run = run.model_copy(update={"metadata": run.metadata.model_copy(update={"uid": uid})})
    return run.with_status(JobRunStatus(phase=phase, tasks=TaskCounts(released=released, waiting=waiting)))


def test_which_task_has_waited_longest() -> None:
    assert first_waiting(_run(10, 4)) == 7
    assert first_waiting(_run(10, 10)) == 1
    assert first_waiting(_run(10, 0)) is None
    assert first_waiting(_run(10, 4, Phase.COMPLETED)) is None


async def test_its_age_is_that_of_its_message(real: JetStreamBench) -> None:
    await real.streams.provision(RunRef("shop", "backfill", UID), SourceSummary(5, "sha256:0"))
    before = datetime.now(UTC)
    await real.publisher.release(UID, 0, [b"0", b"1", b"2"])
    later = before + timedelta(seconds=100)
    names = real.names
    ages = await oldest_waiting(real.js, names, [_run(3, 3), _run(3, 3, uid="gone")], later)
    assert ages.keys() == {UID}
    assert 90 < ages[UID] <= 100
    for task in await real.take(UID, 2):
        await real.ack(task)
    assert (await oldest_waiting(real.js, names, [_run(3, 3)], later)).keys() == {
        UID
    }  # a status a moment old
    assert await oldest_waiting(real.js, names, [_run(3, 0)], later) == {}
