"""What goes wrong around a run is said in a condition, and the run goes on when it can; what is final ends it."""

from __future__ import annotations

import asyncio

import pytest

from jobrun_operator.api import JobRun, LimitedBy, Phase
from jobrun_operator.engine.ports import TaskSource
from jobrun_operator.errors import (
    BrokerUnavailable,
    EnvironmentFault,
    InputError,
    JobRunError,
    NotAllowed,
    SourceError,
    SourceUnavailable,
)
from support.engine_rig import UID, rig
from support.release_rig import assert_exactly_once, now
from support.virtual_time import until


async def test_a_source_that_is_not_there_yet() -> None:
    r = rig()
    r.source.fault = SourceUnavailable("ConfigMap shop/ids does not exist")
    async with r.drive():
        await until(lambda: r.run.status.conditions and r.reason() == "SourceUnavailable")
        assert r.phase == Phase.PENDING
        assert r.run.status.is_true("Reconciling")
        assert "does not exist" in r.condition("Ready").message
        await until(lambda: now() > 60)
        assert r.phase == Phase.PENDING
        assert 5 <= r.source.scans <= 15  # less and less often
        r.source.fault = None
        await r.reaches(Phase.RUNNING)
        assert r.run.status.condition("Reconciling") is None
        await r.ends()
    assert r.audit.types == ["Started", "Completed"]


@pytest.mark.parametrize("kind", [SourceError, InputError])
async def test_a_source_that_can_not_be_used(kind: type[InputError]) -> None:
    r = rig()

    def refuse(run: JobRun) -> TaskSource:
        raise kind("ids.csv line 7", "not JSON")

    r.open_source = refuse
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.FAILED
    assert r.reason("Failed") == "InvalidSource"
    assert "ids.csv line 7" in r.condition("Failed").message
    assert r.broker.stored == []
    assert r.broker.calls == []
    assert r.run.status.start_time is None
    assert r.run.status.completion_time is not None


async def test_a_bad_line_leaves_nothing_half_started() -> None:
    r = rig()
    r.source.fault = SourceError("ids.csv line 7", "not JSON")
    async with r.drive():
        await r.ends()
    assert (r.phase, r.reason("Failed")) == (Phase.FAILED, "InvalidSource")
    assert r.broker.calls == []


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), JobRunError("belongs to another installation")])
async def test_a_broker_that_does_not_make_streams(error: JobRunError) -> None:
    r = rig()
    r.broker.fault = error
    async with r.drive() as main:
        await until(lambda: r.run.status.conditions and r.reason() == "BrokerUnavailable")
        assert r.phase == Phase.PENDING
        assert str(error) in r.condition("Ready").message
        await until(lambda: now() > 60)
        assert not main.done()
        r.broker.fault = None
        await r.ends()
    assert r.audit.types == ["Started", "Completed"]


async def test_a_broker_that_goes_away_in_the_middle_is_said_and_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    r = rig(200)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 100)
        r.broker.fault = r.live.fault = BrokerUnavailable("no answer from the broker")
        await until(lambda: r.reason() == "BrokerUnavailable", seconds=5)
        assert r.phase == Phase.RUNNING
        assert not r.run.status.is_true("Ready")
        assert r.run.status.limited_by == LimitedBy.BROKER
        tasks = r.run.status.tasks
        await until(lambda: now() > 60)
        assert r.run.status.tasks == tasks  # what can't be read keeps its value
        assert r.run.status.replicas == 1
        r.broker.fault = r.live.fault = None
        await until(lambda: r.run.status.is_true("Ready"), seconds=5)
        await r.ends()
    assert_exactly_once(r.broker, 200)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings
    assert [said for said in warnings if not said.startswith("default/backfill: ")] == []


async def test_a_broker_that_goes_away_between_two_releases_is_what_limits_the_run() -> None:
    """The releaser of a slow run sleeps until the next one is due, and asks the broker for nothing."""
    r = rig(5, rate={"tasks": 1, "periodSeconds": 60})
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 1)
        await until(lambda: r.run.status.limited_by == LimitedBy.RATE)
        r.broker.fault = r.live.fault = BrokerUnavailable("no answer from the broker")
        await until(lambda: r.reason() == "BrokerUnavailable", seconds=5)
        assert r.run.status.limited_by == LimitedBy.BROKER


async def test_a_transition_waits_for_its_audit_record_and_says_so() -> None:
    r = rig(200)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 50)
        r.audit.fault = BrokerUnavailable("no audit stream")
        r.edit(suspend=True)
        asked = now()
        await until(lambda: now() > asked + 30)
        assert r.phase == Phase.RUNNING
        assert "no audit stream" in r.condition("Ready").message
        assert len(r.broker.stored) <= 51  # holds all the same
        r.audit.fault = None
        await r.reaches(Phase.SUSPENDED)
        assert r.reason("Suspended") == "Suspended"


async def test_a_consumer_that_is_gone_is_made_again() -> None:
    r = rig(200)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 100)
        r.broker.lose_consumer(UID)
        await r.ends()
    assert f"rebuild {UID}" in r.broker.calls
    assert r.phase == Phase.COMPLETED
    assert_exactly_once(r.broker, 200)


async def test_counters_that_are_gone_are_made_again_and_nothing_else() -> None:
    r = rig(200)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 100)
        r.broker.lose_counters(UID)
        await r.ends()
    assert f"rebuild counters {UID}" in r.broker.calls
    assert f"rebuild {UID}" not in r.broker.calls
    assert r.phase == Phase.COMPLETED


async def test_a_consumer_above_its_messages_is_made_again() -> None:
    r = rig(200)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 100)
        r.labour.seconds = 1e9  # what is in hand now is lost with the consumer
        await until(lambda: len(r.broker.stored) == 110)
        r.labour.seconds = 0.1
        await until(lambda: len(r.broker.stored) == 200)
        r.broker.lose_sight(UID)
        await r.ends()
    assert r.broker.calls.count(f"rebuild {UID}") == 1
    assert r.phase == Phase.COMPLETED
    assert r.run.status.tasks is not None
    assert r.run.status.tasks.succeeded == 200


@pytest.mark.parametrize("lost", ["work", "outcomes"])
async def test_a_stream_that_is_gone_fails_the_run(lost: str) -> None:
    r = rig(1000)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 100)
        (r.broker.lose_work if lost == "work" else r.broker.lose_outcomes)(UID)
        await r.ends()
    assert r.phase == Phase.FAILED
    assert r.reason("Failed") == "StreamLost"
    assert r.run.status.tasks is not None
    assert r.run.status.tasks.released >= 90  # what was known stays
    assert (await r.workers.observe(UID)).running == 0


async def test_a_lost_tail_is_made_good() -> None:
    r = rig(200)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 100)
        r.broker.lose_tail(UID, 5)
        await r.ends()
    assert r.phase == Phase.COMPLETED
    assert len(r.broker.stored) == 205


async def test_workers_that_can_not_be_started_for_good_fail_the_run() -> None:
    r = rig()
    scale = r.workers.scale

    async def refuse(run: JobRun, replicas: int) -> None:
        if replicas:
            raise EnvironmentFault("the handler can't be imported")
        await scale(run, replicas)

    r.workers.scale = refuse  # type: ignore[method-assign]
    async with r.drive():
        await r.ends()
    assert r.phases == ["Pending", "Running", "Failed"]
    assert r.phase == Phase.FAILED
    assert r.reason("Failed") == "WorkersFailed"


@pytest.mark.parametrize("kind", [NotAllowed, SourceUnavailable])
async def test_workers_that_wait_for_somebody_are_asked_for_again_but_not_at_every_look(
    kind: type[JobRunError],
) -> None:
    """A rule that denies them, and a Secret of theirs that is not there: neither changes within a second."""
    r = rig(2000)
    scale, refused = r.workers.scale, []

    async def refuse(run: JobRun, replicas: int) -> None:
        if replicas > 1:
            refused.append(now())
            raise kind("not for now")
        await scale(run, replicas)

    async with r.drive():
        await until(lambda: len(r.broker.stored) == 50)
        r.workers.scale = refuse  # type: ignore[method-assign]
        r.edit(scaling={"minReplicas": 2})
        await until(lambda: r.reason() == "WorkersFailed", seconds=5)
        assert "not for now" in r.condition("Ready").message
        await until(lambda: now() > refused[0] + 60)
        assert r.phase == Phase.RUNNING
        assert (await r.workers.observe(UID)).desired == 1
        assert 4 <= len(refused) <= 10
        edited = now()
        r.edit(scaling={"minReplicas": 3})
        await until(lambda: refused[-1] >= edited, seconds=1)
        r.workers.scale = scale  # type: ignore[method-assign]
        await until(lambda: r.run.status.is_true("Ready"), seconds=15)
        assert (await r.workers.observe(UID)).desired == 3


async def test_a_bug_in_releasing_ends_the_engine_with_its_error() -> None:
    r = rig()

    def broken(run: JobRun) -> TaskSource:
        raise ZeroDivisionError

    r.open_source = broken
    async with r.drive() as main:
        await until(main.done)
        assert isinstance(main.exception(), ZeroDivisionError)


async def test_outcomes_that_can_not_be_stored() -> None:
    """Workers keep their tasks then, which from here looks like slow handlers: so it is asked for and told."""
    r = rig(results={"retain": True})
    async with r.drive():
        await until(lambda: r.run.status.tasks and r.run.status.tasks.succeeded >= 20)
        r.broker.refuses_outcomes = "maximum bytes exceeded"
        full = now()
        await until(lambda: r.reason() == "BrokerUnavailable")
        assert now() < full + 10
        assert r.condition("Ready").message == "maximum bytes exceeded"
        assert r.phase == Phase.RUNNING
        ended = r.run.status.tasks
        await until(lambda: now() > full + 120)
        assert (r.phase, r.reason()) == (Phase.RUNNING, "BrokerUnavailable")
        assert r.run.status.tasks is not None
        assert ended is not None
        assert r.run.status.tasks.succeeded == ended.succeeded
        r.broker.refuses_outcomes = ""
        room = now()
        await until(lambda: r.run.status.is_true("Ready"))
        assert now() < room + 7
        await r.ends()
    assert r.reason("Complete") == "Completed"
    assert_exactly_once(r.broker, 100)


async def test_slow_handlers_are_no_trouble() -> None:
    r = rig(20, rate=None)
    r.labour.seconds = 60.0
    async with r.drive():
        await r.reaches(Phase.RUNNING)
        while now() < 150:
            assert r.run.status.is_true("Ready")
            await asyncio.sleep(1)
