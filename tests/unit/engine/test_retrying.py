"""Dead letters that are tried once more: the run goes on for them, at its rate, and its counts are right throughout."""

from __future__ import annotations

from itertools import pairwise

from jobrun_operator.api import Phase, TaskCounts
from support.engine_rig import UID, EngineRig, rig
from support.release_rig import now
from support.virtual_time import until


def failing(total: int, *failed: int, **spec: object) -> EngineRig:
    r = rig(total, rate=None, retry={"maxAttempts": 1}, **spec)
    r.labour.fails = lambda index, attempt: index in failed
    return r


async def complete(r: EngineRig) -> None:
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.COMPLETED


def counts(r: EngineRig) -> TaskCounts:
    assert r.run.status.tasks is not None
    return r.run.status.tasks


def assert_counts_add_up(r: EngineRig) -> None:
    """Of every status that was written: nothing is counted twice, and nothing left out."""
    for _, status in r.statuses.writes:
        if status.tasks is not None:
            tasks = status.tasks
            assert tasks.released == tasks.outstanding + tasks.succeeded + tasks.failed


async def test_a_complete_run_goes_on_and_completes_again() -> None:
    r = failing(20, 3, 5)
    await complete(r)
    ended, first_end = now(), r.run.status.completion_time
    assert r.reason("Complete") == "CompletedWithFailures"
    await until(lambda: now() > ended + 100)
    r.retries.ask(UID, 3, 5)
    async with r.drive():
        await r.reaches(Phase.RUNNING)
        assert r.run.status.completion_time is None
        assert r.reason() == "Retrying"
        assert (counts(r).outstanding, counts(r).failed) == (2, 0)
        await r.ends()
    assert r.reason("Complete") == "Completed"
    assert (counts(r).succeeded, counts(r).failed, counts(r).outstanding) == (20, 0, 0)
    assert r.run.status.replicas == 0
    assert first_end is not None
    assert r.run.status.completion_time is not None
    assert r.run.status.completion_time > first_end
    assert r.run.status.suspended_seconds is not None
    assert abs(r.run.status.suspended_seconds - 100) < 2  # it rested, which is no activity
    assert r.audit.types == ["Started", "CompletedWithFailures", "Retrying", "Completed"]
    assert_counts_add_up(r)


async def test_results_of_retries_are_kept_where_results_are() -> None:
    r = failing(20, 3, results={"retain": True})
    await complete(r)
    r.retries.ask(UID, 3)
    await complete(r)
    assert r.reason("Complete") == "Completed"
    assert counts(r).succeeded == 20
    assert_counts_add_up(r)


async def test_a_retry_that_fails_leaves_a_dead_letter() -> None:
    r = failing(20, 3, 5)
    r.retries.fails = lambda index: index == 5
    await complete(r)
    r.retries.ask(UID, 3, 5)
    await complete(r)
    assert r.reason("Complete") == "CompletedWithFailures"
    assert (counts(r).succeeded, counts(r).failed) == (19, 1)
    r.retries.fails = lambda index: False
    r.retries.ask(UID, 5)
    await complete(r)
    assert r.reason("Complete") == "Completed"
    reasons = [
        "Started",
        "CompletedWithFailures",
        "Retrying",
        "CompletedWithFailures",
        "Retrying",
        "Completed",
    ]
    assert r.audit.types == reasons
    assert_counts_add_up(r)


async def test_they_are_retried_while_the_run_goes_on() -> None:
    r = rig(200, retry={"maxAttempts": 1})
    r.labour.fails = lambda index, attempt: index == 3
    async with r.drive():
        await until(lambda: r.retries.takes(UID))
        r.retries.ask(UID, 3)
        await until(lambda: len(r.retries.calls) == 1)
        assert len(r.broker.stored) < 200
        await r.ends()
    assert r.phases == ["Pending", "Running", "Completed"]
    assert counts(r).failed == 0
    assert_counts_add_up(r)


async def test_retries_keep_to_the_rate() -> None:
    r = rig(60, retry={"maxAttempts": 1})
    r.labour.fails = lambda index, attempt: True
    await complete(r)
    r.retries.ask(UID, *range(60))
    async with r.drive():
        await r.ends()
    times = [at for at, _ in r.retries.calls]
    assert len(times) == 60
    for begin in range(len(times)):
        for end in range(begin, len(times)):
            assert end - begin + 1 <= 10 * (times[end] - times[begin]) + 10 + 1e-6
    assert times[-1] - times[0] < 7  # and they use it


async def test_tasks_make_room_for_retries() -> None:
    """Both together keep to the rate on average over ten seconds."""
    r = rig(600, retry={"maxAttempts": 1})
    r.labour.fails = lambda index, attempt: index < 100
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 150)
        begun = now()
        r.retries.ask(UID, *range(100))
        await until(lambda: now() > begun + 20)
        calls = [at for at, _ in [*r.retries.calls, *r.labour.calls] if begun <= at < begun + 20]
        assert len(calls) <= 10 * 20 + 2 * 10 + 11  # two bursts, and what a look is late by
        await r.ends()
    assert len(r.retries.calls) == 100


async def test_a_suspended_run_retries_nothing() -> None:
    r = failing(20, 3)
    await complete(r)
    r.retries.ask(UID, 3)
    r.statuses.edit(UID, suspend=True)
    async with r.drive():
        await r.reaches(Phase.SUSPENDED)
        suspended = now()
        await until(lambda: now() > suspended + 30)
        assert not r.retries.calls
        assert counts(r).outstanding == 1
        r.edit(suspend=False)
        await r.ends()
    assert counts(r).failed == 0


async def test_a_held_run_retries_nothing() -> None:
    r = failing(20, 3)
    await complete(r)
    r.holds.raise_now(UID, 30)
    r.retries.ask(UID, 3)
    held = now()
    async with r.drive():
        await r.ends()
    assert r.retries.calls[0][0] >= held + 30


async def test_a_run_that_fails_takes_no_retries_and_forgets_those_asked_for() -> None:
    r = failing(20, 3, 5, failurePolicy={"maxFailedTasks": 1})
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.FAILED
    assert not r.retries.takes(UID)
    assert counts(r).failed == 2


async def test_killed_and_started_again_at_any_time() -> None:
    """Whatever an engine was doing: the next one counts right from its first look on."""
    r = failing(40, *range(10), results={"retain": True})
    await complete(r)
    r.retries.ask(UID, *range(10))
    r.retries.seconds = 0.35
    for _ in range(30):
        async with r.drive():
            begun = now()
            await until(lambda begun=begun: now() > begun + 0.13)  # type: ignore[misc]
    async with r.drive():
        await r.ends()
    assert r.reason("Complete") == "Completed"
    assert_counts_add_up(r)
    succeeded = [status.tasks.succeeded for _, status in r.statuses.writes if status.tasks is not None]
    assert all(before <= after for before, after in pairwise(succeeded))


async def test_a_process_is_permitted_no_more_than_it_can_use() -> None:
    worker = {"image": "i", "python": "m:f", "processes": 4, "concurrency": 2, "batchSize": 3}
    r = failing(100, *range(100), worker=worker, scaling={"minReplicas": 2, "maxReplicas": 2})
    await complete(r)
    r.retries.ask(UID, *range(100))
    await complete(r)
    assert {at_a_time for _, at_a_time in r.retries.permits} == {2 * 3}
    assert max(count for count, _ in r.retries.permits) == 2 * 4 * 2 * 3


async def test_requests_that_the_broker_has_lost_sight_of_are_found_again() -> None:
    """As after a kill: they are there, and neither wait nor are in a worker's hands."""
    r = failing(20, 3, 5)
    await complete(r)
    r.retries.ask(UID, 3, 5)
    async with r.drive():
        r.retries.lose_sight(UID)
        await r.reaches(Phase.RUNNING)
        await r.ends()
    assert counts(r).succeeded == 20
    assert_counts_add_up(r)
