"""The life of a run, from Pending to its end, as a user of the resource sees it."""

from __future__ import annotations

from typing import Any

import pytest

from jobrun_operator.api import LimitedBy, Phase
from jobrun_operator.engine.draining import MOST_SECONDS
from jobrun_operator.engine.run import EngineSettings
from support.engine_rig import UID, rig
from support.memory_workers import MemoryWorkers
from support.pace import worst_excess
from support.release_rig import assert_exactly_once, now
from support.virtual_time import until


async def test_a_run_completes() -> None:
    r = rig()
    async with r.drive():
        await r.ends()
    assert_exactly_once(r.broker, 100)
    assert worst_excess([stored.at for stored in r.broker.stored], 10.0, 10) < 1e-3
    assert r.phases == ["Pending", "Running", "Completed"]
    assert r.audit.types == r.events.reasons == ["Started", "Completed"]
    assert r.events.warnings == []
    status = r.run.status
    assert status.tasks is not None
    assert (status.tasks.total, status.tasks.released, status.tasks.succeeded) == (100, 100, 100)
    assert (status.tasks.outstanding, status.tasks.waiting, status.tasks.failed) == (0, 0, 0)
    assert status.limited_by == LimitedBy.ALL_RELEASED
    assert status.stream == f"jobrun_{UID}"
    assert status.source is not None
    assert status.source.count == 100
    assert (status.replicas, status.ready_replicas) == (0, 0)
    assert status.start_time is not None
    assert status.completion_time is not None
    assert 10 <= (status.completion_time - status.start_time).total_seconds() <= 13
    assert status.summary is not None
    assert status.summary.to_wire() == {"progress": "100%", "rate": "0/10/s", "workers": "0/0"}
    assert status.is_true("Complete")
    assert status.is_true("Finished")
    assert status.is_true("Ready")
    assert r.broker.calls[-1] == f"all_done {UID}"


async def test_while_it_runs_it_says_how_it_goes() -> None:
    r = rig(1000)
    async with r.drive():
        await until(lambda: now() > 50)
        status = r.run.status
        assert status.phase == Phase.RUNNING
        assert status.limited_by == LimitedBy.RATE
        assert status.summary is not None
        assert status.summary.progress in ("48%", "49%", "50%")
        assert status.summary.rate in ("9.8/10/s", "9.9/10/s", "10/10/s")
        assert status.summary.workers == "1/1"
        assert status.summary.eta in ("49s", "50s", "51s", "52s")
        assert r.reason() == "Started"
        assert status.observed_generation == 1


async def test_dead_letters_do_not_stop_a_run() -> None:
    r = rig(retry={"maxAttempts": 2, "initialDelaySeconds": 1})
    r.labour.fails = lambda index, attempt: index % 10 == 3
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.COMPLETED
    assert r.reason("Complete") == "CompletedWithFailures"
    assert "10 of 100 tasks failed" in r.condition("Complete").message
    assert r.events.warnings == ["CompletedWithFailures"]
    status = r.run.status
    assert status.tasks is not None
    assert (status.tasks.succeeded, status.tasks.failed, status.tasks.redeliveries) == (90, 10, 10)
    assert 1 <= len(status.last_errors) <= 5
    assert {error.index % 10 for error in status.last_errors} == {3}


async def test_kept_results_are_what_is_counted() -> None:
    r = rig(results={"retain": True})
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.COMPLETED
    assert r.run.status.tasks is not None
    assert r.run.status.tasks.succeeded == 100


async def test_lost_results_fail_a_run() -> None:
    r = rig(results={"retain": True})
    r.labour.keeps_results = False
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.FAILED
    assert r.reason("Failed") == "TasksLost"


async def test_results_that_are_kept_from_the_middle_on_are_not_taken_for_lost() -> None:
    r = rig()
    async with r.drive():
        await until(lambda: len(r.broker.stored) > 50)
        r.edit(results={"retain": True})
        r.labour.keeps_results = True
        await r.ends()
    assert r.phase == Phase.COMPLETED


@pytest.mark.parametrize("policy", [{"maxFailedTasks": 5}, {"maxFailedPercent": 5}])
async def test_too_many_failures_fail_a_run_in_two_steps(policy: dict[str, int]) -> None:
    r = rig(1000, failurePolicy=policy, retry={"maxAttempts": 1})
    r.workers = type(r.workers)(clock=now, drain_delay=7.0)
    r.labour.workers = r.workers
    r.labour.fails = lambda index, attempt: True
    async with r.drive():
        await until(lambda: r.run.status.is_true("FailureTarget"))
        target = now()
        released = len(r.broker.stored)
        assert r.phase == Phase.RUNNING
        assert r.reason("FailureTarget") == "FailurePolicyExceeded"
        assert not r.run.status.is_true("Ready")
        assert r.run.status.completion_time is None
        await r.reaches(Phase.FAILED)
        assert 7 <= now() - target <= 10  # when no worker runs any more
        await r.ends()
    assert len(r.broker.stored) == released < 1000
    assert r.audit.types == ["Started", "FailurePolicyExceeded", "FailurePolicyExceeded"]
    status = r.run.status
    assert status.is_true("Failed")
    assert status.is_true("Stalled")
    assert status.is_true("Finished")
    assert status.completion_time is not None
    assert status.limited_by is None
    flow = await r.broker.flow(UID)
    assert flow is not None
    assert flow.paused


async def test_no_edit_revives_a_failed_run() -> None:
    r = rig(failurePolicy={"maxFailedTasks": 0}, retry={"maxAttempts": 1})
    r.labour.fails = lambda index, attempt: True
    async with r.drive():
        await r.ends()
    r.statuses.edit(UID, failurePolicy={"maxFailedTasks": 1000}, suspend=False)
    stored = len(r.broker.stored)
    async with r.drive():
        await r.ends()
        await until(lambda: now() > 200)
    assert r.phase == Phase.FAILED
    assert len(r.broker.stored) == stored


async def test_a_complete_run_does_not_wait_for_ever_for_a_worker_that_stays() -> None:
    """As a pod of a node that is lost does."""
    r = rig()
    r.workers = MemoryWorkers(clock=now, drain_delay=1e9)
    r.labour.workers = r.workers
    async with r.drive():
        await r.reaches(Phase.COMPLETED)
        ended = now()
        await r.ends(seconds=300)
        assert MOST_SECONDS <= now() - ended <= MOST_SECONDS + 10
        assert (await r.workers.observe(UID)).running


async def test_a_run_that_fails_waits_for_its_workers_which_may_be_at_a_task() -> None:
    r = rig(1000, failurePolicy={"maxFailedTasks": 0}, retry={"maxAttempts": 1})
    r.labour.fails = lambda index, attempt: True
    r.workers = MemoryWorkers(clock=now, drain_delay=3600)
    r.labour.workers = r.workers
    async with r.drive():
        await until(lambda: r.run.status.is_true("FailureTarget"))
        began = now()
        await until(lambda: now() > began + 60)
        assert r.run.status.limited_by is None
        assert r.run.status.summary is not None
        assert (r.run.status.summary.rate, r.run.status.summary.eta) == ("0/10/s", None)
        await r.reaches(Phase.FAILED, seconds=4000)
        assert now() - began >= 3500
        await r.ends()


async def test_a_run_without_a_rate_is_done_as_fast_as_workers_are() -> None:
    r = rig(2000, rate=None, maxWaiting=100)
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.COMPLETED
    assert_exactly_once(r.broker, 2000)


@pytest.mark.parametrize("spec", [{"rate": None, "maxWaiting": 100}, {}])
async def test_the_first_worker_is_asked_for_at_once_and_not_at_the_next_look(spec: dict[str, Any]) -> None:
    r = rig(2000, **spec)
    r.settings = EngineSettings(interval=600.0)
    async with r.drive():
        await until(lambda: r.workers.asked)
        assert now() < 1
        await until(lambda: r.broker.stored)
        assert now() < 2  # also where a rate waits for its first worker
