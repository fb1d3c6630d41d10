"""Telling about a run: each transition once and in order, whatever crashes; progress at a bearable pace."""

from __future__ import annotations

from itertools import pairwise

import pytest

from jobrun_operator.api import JobRunStatus, Phase
from jobrun_operator.errors import BrokerUnavailable, TemporaryError
from support.engine_rig import UID, rig
from support.release_rig import assert_exactly_once, now
from support.virtual_time import until


@pytest.mark.parametrize("point", ["audit", "status", "event"])
async def test_a_crash_in_a_transition_repeats_it_and_records_it_once(point: str) -> None:
    r = rig(20)

    def crash(status: JobRunStatus) -> None:
        if status.phase == Phase.COMPLETED:
            raise RuntimeError("crash")

    async with r.drive() as main:
        await r.reaches(Phase.RUNNING)
        if point == "status":
            r.statuses.before_write = crash
        else:
            (r.audit if point == "audit" else r.events).fault = RuntimeError("crash")
        await until(main.done)
        assert isinstance(main.exception(), RuntimeError)
    assert len(r.audit.told) == (1 if point == "audit" else 2)
    r.audit.fault = r.events.fault = None
    r.statuses.before_write = lambda status: None
    r.statuses.annotate(UID, note="an edit in between")
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.COMPLETED
    assert r.audit.types == ["Started", "Completed"]
    assert len(r.audit.told) == (3 if point == "status" else 2)
    assert r.events.reasons == (["Started"] if point == "event" else ["Started", "Completed"])


async def test_the_record_comes_before_the_status_and_the_event_after_it() -> None:
    r = rig(5)
    order: list[str] = []
    record, write, publish = r.audit.record, r.statuses.write, r.events.publish

    def noting(name: str, call: object) -> object:
        async def noted(*args: object, **kwargs: object) -> object:
            order.append(name)
            return await call(*args, **kwargs)  # type: ignore[operator]

        return noted

    r.audit.record = noting("audit", record)  # type: ignore[method-assign, assignment]
    r.statuses.write = noting("status", write)  # type: ignore[method-assign, assignment]
    r.events.publish = noting("event", publish)  # type: ignore[method-assign, assignment]
    async with r.drive():
        await r.ends()
    transitions = [
        name
        for name, after in zip(order, [*order[1:], ""], strict=True)
        if name != "status" or after == "event"
    ]
    assert transitions == ["audit", "status", "event"] * 2


async def test_an_event_that_can_not_be_published_changes_nothing() -> None:
    r = rig(5)
    r.events.fault = TemporaryError("no API")
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.COMPLETED


async def test_a_resource_changed_by_somebody_else_is_read_again() -> None:
    r = rig(50)
    edits = iter(range(3))

    def edit(status: JobRunStatus) -> None:
        if next(edits, None) is not None:
            r.statuses.annotate(UID, note=str(now()))

    r.statuses.before_write = edit
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.COMPLETED
    assert r.audit.types == ["Started", "Completed"]
    assert_exactly_once(r.broker, 50)


async def test_a_suspension_that_only_the_stored_resource_knows_of_acts() -> None:
    r = rig(1000)
    async with r.drive():
        await until(lambda: len(r.broker.stored) == 50)
        r.statuses.edit(UID, suspend=True)  # the watch is cut
        await r.reaches(Phase.SUSPENDED, seconds=30)


async def test_somebody_who_writes_all_the_time_does_not_make_it_spin() -> None:
    r = rig(1000)
    writes = 0

    def edit(status: JobRunStatus) -> None:
        nonlocal writes
        writes += 1
        r.statuses.annotate(UID, note=str(writes))

    r.statuses.before_write = edit
    async with r.drive():
        await until(lambda: now() > 30)
    assert writes <= 70


async def test_a_run_that_is_deleted_ends_the_engine() -> None:
    r = rig(1000)
    async with r.drive() as main:
        await until(lambda: len(r.broker.stored) == 50)
        r.statuses.delete(UID)
        await until(main.done, seconds=20)
        assert main.exception() is None
        stored = len(r.broker.stored)
        await until(lambda: now() > 60)
        assert len(r.broker.stored) == stored


async def test_a_run_that_is_deleted_while_it_is_read_again() -> None:
    r = rig(1000)
    async with r.drive() as main:
        await until(lambda: len(r.broker.stored) == 50)
        r.statuses.annotate(UID, note="conflict")
        r.statuses.before_write = lambda status: r.statuses.delete(UID)
        await until(main.done, seconds=20)
        assert main.exception() is None


async def test_an_api_that_is_away_is_waited_for() -> None:
    r = rig(50)
    async with r.drive():
        await r.reaches(Phase.RUNNING)
        r.statuses.fault = r.workers.fault = TemporaryError("no API")
        await until(lambda: now() > 60)
        assert len(r.broker.stored) >= 20  # releasing goes on
        r.statuses.fault = r.workers.fault = None
        await r.ends()
    assert_exactly_once(r.broker, 50)


@pytest.mark.parametrize("fault", [None, TemporaryError("no API")], ids=["edited", "away"])
async def test_the_last_status_is_told_also_where_that_takes_several_tries(
    fault: TemporaryError | None,
) -> None:
    r = rig(20)
    refused: list[JobRunStatus] = []

    def at_the_end(status: JobRunStatus) -> None:
        last = r.phase == Phase.COMPLETED and status.replicas == 0
        if not last or len(refused) == (3 if fault else 1):
            return
        refused.append(status)
        if fault is not None:
            raise fault
        r.statuses.annotate(UID, note="conflict")

    r.statuses.before_write = at_the_end
    async with r.drive() as main:
        await until(main.done, seconds=60)
    assert refused
    assert (r.run.status.replicas, r.run.status.ready_replicas) == (0, 0)


@pytest.mark.parametrize(("rate", "total"), [(100, 3000), (1, 30)])
async def test_a_run_writes_at_most_once_a_second(rate: int, total: int) -> None:
    r = rig(total, rate={"tasks": rate, "periodSeconds": 1})
    async with r.drive():
        await r.ends()
    times = [at for at, _ in r.statuses.writes]
    transitions = len(r.audit.records)
    close = sum(after - before < 1 for before, after in pairwise(times))
    assert close <= transitions
    assert len(times) <= 30 + 5
    assert all(before != after for (_, before), (_, after) in pairwise(r.statuses.writes))


async def test_a_quiet_run_is_written_when_something_changes() -> None:
    r = rig(100, suspend=True)
    async with r.drive():
        await r.reaches(Phase.SUSPENDED)
        await until(lambda: now() > 10)
        writes = len(r.statuses.writes)
        await until(lambda: now() > 600)
        assert len(r.statuses.writes) == writes


async def test_the_live_status_is_shown_at_the_pace_of_the_engine() -> None:
    r = rig(300)
    async with r.drive():
        await r.ends()
    times = [at for at, _ in r.live.shown]
    assert max(after - before for before, after in pairwise(times)) <= 2.1
    assert sum(after - before < 0.999 for before, after in pairwise(times)) <= len(r.audit.records)
    assert r.live.shown[-1][1].phase == Phase.COMPLETED


async def test_a_live_status_that_can_not_be_shown_changes_nothing() -> None:
    r = rig(30)
    r.live.fault = BrokerUnavailable("away")
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.COMPLETED
