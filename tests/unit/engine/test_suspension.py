"""Suspending holds everything at once and loses nothing; resuming goes on where it was."""

from __future__ import annotations

import pytest

from jobrun_operator.api import JobRun, LimitedBy, Phase
from jobrun_operator.errors import BrokerUnavailable
from support.engine_rig import UID, rig
from support.pace import worst_excess
from support.release_rig import assert_exactly_once, now
from support.virtual_time import until


async def test_suspend_and_resume() -> None:
    r = rig(300)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 100)
        r.edit(suspend=True)
        suspended = now()
        await r.reaches(Phase.SUSPENDED)
        assert now() - suspended < 1
        await until(lambda: now() > suspended + 60)
        assert len(r.broker.stored) <= 101
        status = r.run.status
        assert (status.limited_by, status.replicas) == (LimitedBy.SUSPENDED, 0)
        assert status.is_true("Suspended")
        assert not status.is_true("Ready")
        assert status.summary is not None
        assert status.summary.eta is None
        r.edit(suspend=False)
        resumed = now()
        await r.reaches(Phase.RUNNING)
        assert now() - resumed < 1
        assert r.condition("Suspended").status == "False"
        assert r.run.status.limited_by != LimitedBy.SUSPENDED
        await r.ends()
    assert_exactly_once(r.broker, 300)
    after = [stored.at for stored in r.broker.stored if stored.at >= resumed]
    assert worst_excess([resumed, *after], 10.0, 1) < 1.001  # from an empty bucket
    assert r.audit.types == ["Started", "Suspended", "Resumed", "Completed"]


async def test_the_annotation_suspends_as_well() -> None:
    r = rig()
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 20)
        r.engine.update(r.statuses.annotate(UID, **{"jobrun.dev/paused": "true"}))
        await r.reaches(Phase.SUSPENDED)
        r.engine.update(r.statuses.annotate(UID, **{"jobrun.dev/paused": "false"}))
        await r.ends()
    assert_exactly_once(r.broker, 100)


async def test_delivery_is_paused_before_workers_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    r = rig(1000)
    scale = r.workers.scale

    async def told(run: JobRun, replicas: int) -> None:
        r.broker.calls.append(f"scale {replicas}")
        await scale(run, replicas)

    monkeypatch.setattr(r.workers, "scale", told)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 50)
        r.broker.calls.clear()
        r.edit(suspend=True)
        await until(lambda: "scale 0" in r.broker.calls)
        assert r.broker.calls == [f"pause {UID}", "scale 0"]
        r.broker.calls.clear()
        r.edit(suspend=False)
        await until(lambda: "scale 1" in r.broker.calls)
        assert r.broker.calls[0] == f"go on {UID}"


async def test_workers_stay_while_delivery_can_not_be_paused() -> None:
    r = rig(1000)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 50)
        r.workers.asked.clear()
        r.broker.fault = BrokerUnavailable("away")
        r.edit(suspend=True)
        asked = now()
        await until(lambda: now() > asked + 30)
        assert (UID, 0) not in r.workers.asked
        r.broker.fault = None
        await until(lambda: (UID, 0) in r.workers.asked)


async def test_suspended_from_birth() -> None:
    r = rig(suspend=True)
    async with r.drive():
        await r.reaches(Phase.SUSPENDED)
        await until(lambda: now() > 100)
        assert r.broker.stored == []
        assert r.run.status.start_time is None
        assert r.run.status.source is not None
        assert all(replicas == 0 for _, replicas in r.workers.asked)
        r.edit(suspend=False)
        await r.ends()
    assert r.audit.types == ["Suspended", "Resumed", "Completed"]
    assert_exactly_once(r.broker, 100)


@pytest.mark.parametrize("from_birth", [False, True])
async def test_the_deadline_does_not_count_suspended_time(from_birth: bool) -> None:
    r = rig(1000, activeDeadlineSeconds=30, suspend=from_birth)
    async with r.drive():
        if not from_birth:
            await until(lambda: now() > 10)
            r.edit(suspend=True)
        await r.reaches(Phase.SUSPENDED)
        await until(lambda: now() > 1000)
        assert not r.run.status.is_true("FailureTarget")
        r.edit(suspend=False)
        resumed = now()
        await until(lambda: r.run.status.is_true("FailureTarget"))
        assert now() - resumed == pytest.approx(30 if from_birth else 20, abs=3)
        assert r.reason("FailureTarget") == "DeadlineExceeded"
        await r.ends()
    assert r.phase == Phase.FAILED


async def test_a_suspended_run_whose_last_task_ends_is_complete() -> None:
    r = rig(5)
    r.labour.seconds = 20.0
    async with r.drive():
        await until(lambda: len(r.labour.calls) == 5)
        r.edit(suspend=True)
        await r.reaches(Phase.SUSPENDED)
        await r.ends()
    assert r.phase == Phase.COMPLETED


async def test_a_change_of_rate_acts_at_once() -> None:
    r = rig(1000, rate={"tasks": 1, "periodSeconds": 60})
    async with r.drive():
        await until(lambda: now() > 30)
        assert r.broker.stored == []
        r.edit(rate={"tasks": 100, "periodSeconds": 1})
        changed = now()
        await until(lambda: len(r.broker.stored) >= 50)
        assert now() - changed < 1
        await r.ends()
    assert_exactly_once(r.broker, 1000)
