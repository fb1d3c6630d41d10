"""An engine that ends, as a crash ends it, and another that goes on: nothing twice, nothing lost, nobody sent home."""

from __future__ import annotations

import pytest

from jobrun_operator.api import Phase
from jobrun_operator.errors import BrokerUnavailable, SourceUnavailable
from support.engine_rig import UID, EngineRig, rig
from support.listed_source import ListedSource
from support.release_rig import assert_exactly_once, now
from support.virtual_time import until


@pytest.mark.parametrize("released", [0, 1, 50, 99, 100])
async def test_it_goes_on_where_it_was(released: int) -> None:
    r = rig()
    async with r.drive():
        await until(lambda: len(r.broker.stored) >= released)
    async with r.drive():
        await r.ends()
    assert_exactly_once(r.broker, 100)
    assert r.phase == Phase.COMPLETED
    assert r.audit.types == r.events.reasons == ["Started", "Completed"]


async def test_two_engines_at_work_by_mistake() -> None:
    r = rig(500)
    async with r.drive() as one, r.drive() as other:
        await until(lambda: one.done() and other.done(), every=0.1)
        assert one.exception() is None
        assert other.exception() is None
    assert_exactly_once(r.broker, 500)
    assert r.phase == Phase.COMPLETED
    assert r.audit.types == ["Started", "Completed"]


async def test_a_start_leaves_workers_alone_until_it_knows_better() -> None:
    r = rig(1000)
    async with r.drive():
        await until(lambda: len(r.labour.calls) > 100)
    r.workers.asked.clear()
    r.broker.fault = BrokerUnavailable("away")
    async with r.drive():
        start = now()
        await until(lambda: now() > start + 60)
        assert all(replicas > 0 for _, replicas in r.workers.asked)
        r.broker.fault = None
        await r.ends()
    assert_exactly_once(r.broker, 1000)


async def test_a_start_without_the_source_still_ends_what_was_released() -> None:
    r = rig(100)
    async with r.drive(labour=False):
        await until(lambda: len(r.broker.stored) >= 20)
    before = len(r.broker.stored)
    r.source.fault = SourceUnavailable("the server does not answer")
    async with r.drive():
        await until(lambda: r.run.status.tasks is not None and r.run.status.tasks.succeeded == before)
        assert r.phase == Phase.RUNNING
        assert r.reason() == "SourceUnavailable"
        assert not r.run.status.is_true("Ready")
        r.source.fault = None
        await r.ends()
    assert_exactly_once(r.broker, 100)


async def test_all_released_needs_no_source() -> None:
    r = rig(10)
    async with r.drive(labour=False):
        await until(lambda: len(r.broker.stored) == 10)
    r.source.fault = SourceUnavailable("deleted after the last task was released")
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.COMPLETED


async def test_a_source_that_has_changed_fails_the_run() -> None:
    r = rig(100)
    async with r.drive():
        await until(lambda: len(r.broker.stored) >= 20)
    before = len(r.broker.stored)
    r.source.version = "2"
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.FAILED
    assert r.reason("Failed") == "SourceChanged"
    assert len(r.broker.stored) == before


async def test_a_stream_that_is_gone_is_not_made_again() -> None:
    r = rig(100)
    async with r.drive():
        await until(lambda: len(r.broker.stored) >= 20)
    before = len(r.broker.stored)
    r.broker.lose_work(UID)
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.FAILED
    assert r.reason("Failed") == "StreamLost"
    assert len(r.broker.stored) == before


async def test_streams_made_before_the_run_was_started_are_used() -> None:
    r = rig(100)
    r.statuses.fault = RuntimeError("crashed before Started was written")
    async with r.drive() as main:
        await until(main.done)
        assert isinstance(main.exception(), RuntimeError)
    r.statuses.fault = None
    async with r.drive():
        await r.ends()
    assert r.audit.types == ["Started", "Completed"]
    assert_exactly_once(r.broker, 100)


@pytest.mark.parametrize("ended", [Phase.COMPLETED, Phase.FAILED])
async def test_a_run_that_has_ended_does_nothing(ended: Phase) -> None:
    r = await _ended(ended)
    stored, writes, told = len(r.broker.stored), len(r.statuses.writes), len(r.audit.told)
    r.broker.calls.clear()
    status = r.run.status
    async with r.drive():
        await r.ends(seconds=10)
    assert len(r.broker.stored) == stored
    assert r.run.status == status
    assert len(r.statuses.writes) == writes
    assert len(r.audit.told) == told
    assert r.broker.calls == []


async def _ended(phase: Phase) -> EngineRig:
    r = rig(10, failurePolicy={"maxFailedTasks": 0}, retry={"maxAttempts": 1})
    r.labour.fails = lambda index, attempt: phase == Phase.FAILED
    async with r.drive():
        await r.ends()
    assert r.phase == phase
    return r


async def test_a_crash_between_the_steps_of_a_failure() -> None:
    """FailureTarget is written; delivery is not paused and workers still run."""
    r = rig(1000, failurePolicy={"maxFailedTasks": 0}, retry={"maxAttempts": 1})
    r.labour.fails = lambda index, attempt: True
    async with r.drive():
        await until(lambda: r.run.status.is_true("FailureTarget"), every=0.0001)
    await r.broker.pause(UID, paused=False)
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.FAILED
    assert r.reason("Failed") == "FailurePolicyExceeded"
    flow = await r.broker.flow(UID)
    assert flow is not None
    assert flow.paused
    assert (await r.workers.observe(UID)).running == 0


async def test_a_suspended_run_stays_suspended() -> None:
    r = rig(100)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 20)
        r.edit(suspend=True)
        await r.reaches(Phase.SUSPENDED)
    stored = len(r.broker.stored)
    async with r.drive():
        start = now()
        await until(lambda: now() > start + 30)
        assert len(r.broker.stored) == stored
        r.edit(suspend=False)
        await r.ends()
    assert_exactly_once(r.broker, 100)


async def test_the_source_is_opened_where_the_run_was() -> None:
    r = rig(100)
    async with r.drive():
        await until(lambda: len(r.broker.stored) >= 40)
    reached = len(r.broker.stored)
    r.source = ListedSource(100)
    async with r.drive():
        await r.ends()
    assert r.source.opened == [reached]
