"""The fleet over memory: who gets an engine, who is forgotten, what is freed and when, and what is never touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta

from jobrun_operator.api import JobRun, JobRunStatus, Phase
from jobrun_operator.core.lifecycle import Fault
from jobrun_operator.core.reasons import Reason
from jobrun_operator.core.sweep import OwnedStreams
from jobrun_operator.engine.fleet import FleetSettings
from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.errors import ApiUnavailable, BrokerUnavailable
from support.engine_rig import EPOCH
from support.fleet_rig import TOTAL, FleetRig, clock
from support.memory_labour import Labour
from support.memory_workers import MemoryWorkers
from support.virtual_time import until


def foreign(uid: str, *, age: float = 0.0, namespace: str = "default") -> OwnedStreams:
    """Streams of a run that is not known, made ``age`` seconds before the beginning."""
    return OwnedStreams(namespace, "lost", uid, EPOCH - timedelta(seconds=age))


async def provision(rig: FleetRig, uid: str) -> None:
    await rig.broker.provision(RunRef("default", "lost", uid), SourceSummary(1, "sha256:0"))


async def test_what_is_listed_is_driven_to_its_end() -> None:
    rig = FleetRig()
    rig.create("a")
    rig.create("b", suspend=True)
    async with rig.going("a"):
        await until(
            lambda: rig.phase("a") == Phase.COMPLETED and rig.phase("b") == Phase.SUSPENDED, seconds=60
        )
        assert len(rig.fleet) == 2
        assert {run.uid for run in rig.fleet} == {"a", "b"}


async def test_a_deletion_that_no_watch_has_told_is_found_by_the_next_list() -> None:
    rig = FleetRig()
    rig.create("a", suspend=True)
    async with rig.going():
        await until(lambda: rig.phase("a") == Phase.SUSPENDED)
        rig.runs.known.discard("a")
        await until(lambda: len(rig.fleet) == 0, seconds=70)
        await until(lambda: "delete a" in rig.broker.calls)
        assert [ref.uid for ref in rig.live.forgotten] == ["a"]


async def test_a_list_that_leaves_a_run_out_is_no_evidence() -> None:
    rig = FleetRig()
    rig.create("a", suspend=True)
    async with rig.going():
        await until(lambda: rig.phase("a") == Phase.SUSPENDED)
        rig.runs.unlisted.add("a")
        await until(lambda: rig.runs.lists >= 5)
        assert len(rig.fleet) == 1
        assert rig.runs.looked
        assert "delete a" not in rig.broker.calls


async def test_while_the_api_is_away_nothing_is_forgotten_and_nothing_swept() -> None:
    rig = FleetRig()
    rig.create("a", suspend=True)
    rig.ownership.streams = [foreign("old", age=10_000)]
    await provision(rig, "old")
    async with rig.going():
        rig.runs.fault = ApiUnavailable("away")
        rig.fleet.tell(rig.statuses["a"])
        await until(lambda: rig.phase("a") == Phase.SUSPENDED)
        await until(lambda: rig.runs.lists >= 5)
        assert len(rig.fleet) == 1
        assert not [call for call in rig.broker.calls if call.startswith("delete")]
        rig.runs.fault = None
        await until(lambda: "delete old" in rig.broker.calls, seconds=200)


async def test_after_a_list_that_failed_nothing_is_swept() -> None:
    """Also where single looks are answered: what such a list has not shown is no suspect."""
    rig = FleetRig()
    rig.ownership.streams = [foreign("old", age=10_000)]
    await provision(rig, "old")
    whole = rig.runs.list

    async def cut() -> AsyncIterator[JobRun]:
        async for run in whole():
            yield run
        raise ApiUnavailable("cut in the middle")

    rig.runs.list = cut  # type: ignore[method-assign]
    async with rig.going():
        await until(lambda: rig.runs.lists >= 5)
        assert rig.runs.looked == []
        rig.runs.list = whole  # type: ignore[method-assign]
        await until(lambda: "delete old" in rig.broker.calls, seconds=200)


async def test_a_sweep_needs_two_denials_and_takes_only_what_is_old() -> None:
    rig = FleetRig(FleetSettings(relist_seconds=60, sweep_age_seconds=300))
    rig.ownership.streams = [foreign("old", age=10_000), foreign("young")]
    for uid in ("old", "young"):
        await provision(rig, uid)
    async with rig.going():
        await until(lambda: "old" in rig.runs.looked)
        assert "delete old" not in rig.broker.calls
        await until(lambda: "delete old" in rig.broker.calls, seconds=70)
        assert rig.runs.looked.count("old") == 2
        assert "young" not in rig.runs.looked
        assert clock() < 300
        await until(lambda: "delete young" in rig.broker.calls, seconds=400)
        assert clock() >= 300


async def test_a_sweep_forgets_the_live_status_of_what_it_sweeps() -> None:
    rig = FleetRig()
    gone = RunRef("default", "lost", "old")
    await provision(rig, "old")
    await rig.live.put(gone, JobRunStatus())
    rig.ownership.streams = [foreign("old", age=10_000)]
    rig.live.fault = BrokerUnavailable("away")
    async with rig.going():
        await until(lambda: rig.runs.looked.count("old") == 2, seconds=70)
        await asyncio.sleep(1)
        assert "delete old" not in rig.broker.calls  # else nothing would tell of it any more
        rig.live.fault = None
        await until(lambda: "delete old" in rig.broker.calls, seconds=200)
        assert rig.live.newest == {}


async def test_the_live_status_of_a_run_stays_when_another_of_its_name_goes() -> None:
    rig = FleetRig()
    run = rig.create("new", suspend=True)
    await provision(rig, "old")
    rig.ownership.streams = [OwnedStreams(run.namespace, run.name, "old", EPOCH - timedelta(seconds=10_000))]
    async with rig.going():
        await until(lambda: rig.phase("new") == Phase.SUSPENDED)
        await until(lambda: "delete old" in rig.broker.calls, seconds=200)
        assert set(rig.live.newest) == {(run.namespace, run.name)}
        rig.create("newer", suspend=True)
        rig.fleet.tell(rig.statuses["newer"])
        await until(lambda: rig.phase("newer") == Phase.SUSPENDED)
        rig.runs.known.discard("new")
        rig.fleet.forget("new")
        await until(lambda: "delete new" in rig.broker.calls, seconds=5)
        await asyncio.sleep(1)
        assert set(rig.live.newest) == {(run.namespace, run.name)}


async def test_streams_of_namespaces_that_are_not_watched_stay() -> None:
    rig = FleetRig(FleetSettings(relist_seconds=60, namespaces=frozenset({"default"})))
    rig.ownership.streams = [foreign("elsewhere", age=10_000, namespace="elsewhere")]
    async with rig.going():
        await until(lambda: rig.runs.lists >= 5)
        assert rig.runs.looked == []


async def test_a_run_of_that_uid_that_exists_is_never_swept() -> None:
    rig = FleetRig()
    rig.create("a", suspend=True)
    rig.runs.unlisted.add("a")
    rig.ownership.streams = [foreign("a", age=10_000)]
    async with rig.going():
        await until(lambda: rig.runs.lists >= 6)
        assert "delete a" not in rig.broker.calls


async def test_freed_when_due_and_once() -> None:
    rig = FleetRig()
    rig.create("a", cleanupSecondsAfterFinished=100)
    async with rig.going("a"):
        await until(lambda: rig.phase("a") == Phase.COMPLETED)
        ended = clock()
        await until(lambda: "delete a" in rig.broker.calls, seconds=200)
        assert 99 <= clock() - ended <= 110
        await asyncio.sleep(300)
        assert rig.broker.calls.count("delete a") == 1
        assert "a" in rig.runs.known


async def test_deleted_when_its_time_to_live_is_over() -> None:
    rig = FleetRig()
    rig.create("a", ttlSecondsAfterFinished=30)
    async with rig.going("a"):
        await until(lambda: rig.phase("a") == Phase.COMPLETED)
        await until(lambda: "a" not in rig.runs.known, seconds=60)
        await until(lambda: "delete a" in rig.broker.calls)
        assert len(rig.fleet) == 0


async def test_a_worker_that_stays_holds_up_neither_clean_up_nor_time_to_live() -> None:
    rig = FleetRig(workers=MemoryWorkers(clock=clock, drain_delay=1e9))
    rig.create("a", cleanupSecondsAfterFinished=10)
    rig.create("b", ttlSecondsAfterFinished=30)
    async with rig.going("a", "b"):
        await until(lambda: "delete a" in rig.broker.calls, seconds=200)
        await until(lambda: "b" not in rig.runs.known, seconds=200)
        assert rig.phase("a") == Phase.COMPLETED
        assert (await rig.workers.observe("a")).running


async def test_one_that_can_not_be_freed_does_not_hold_up_the_others() -> None:
    rig = FleetRig()
    for uid in ("a", "b"):
        rig.create(uid, cleanupSecondsAfterFinished=0, tasks={"count": 1})
    delete, failed = rig.broker.delete, 0

    async def failing(uid: str) -> None:
        nonlocal failed
        if uid == "a" and failed < 3:
            failed += 1
            raise BrokerUnavailable("away")
        await delete(uid)

    rig.broker.delete = failing  # type: ignore[method-assign]
    async with rig.going("a", "b"):
        await until(lambda: "delete b" in rig.broker.calls, seconds=120)
        assert failed
        await until(lambda: "delete a" in rig.broker.calls, seconds=60)


async def test_a_fault_of_ours_in_one_run_leaves_the_others_alone() -> None:
    rig = FleetRig()
    rig.broken.add("a")
    rig.create("a")
    rig.create("b")
    async with rig.going("a", "b"):
        await until(lambda: rig.phase("b") == Phase.COMPLETED)
        assert rig.phase("a") != Phase.COMPLETED
        rig.broken.clear()
        await until(lambda: rig.phase("a") == Phase.COMPLETED, seconds=200)


async def test_an_older_version_that_comes_late_changes_nothing() -> None:
    rig = FleetRig()
    old = rig.create("a", suspend=True)
    async with rig.going():
        await until(lambda: rig.phase("a") == Phase.SUSPENDED)
        new = rig.statuses.edit("a", maxWaiting=7)
        rig.fleet.tell(new)
        rig.fleet.tell(old)
        (known,) = rig.fleet
        assert known.spec.max_waiting == 7


async def test_forgetting_ends_the_engine_and_frees() -> None:
    rig = FleetRig()
    rig.create("a")
    async with rig.going("a"):
        await until(lambda: rig.phase("a") == Phase.RUNNING)
        rig.runs.known.discard("a")
        rig.fleet.forget("a")
        rig.fleet.forget("a")
        await until(lambda: "delete a" in rig.broker.calls, seconds=5)
        released = len(rig.broker.stored)
        await asyncio.sleep(30)
        assert len(rig.broker.stored) == released


async def test_a_run_that_can_not_go_on_fails_in_two_steps() -> None:
    rig = FleetRig()
    rig.create("a")
    async with rig.going("a"):
        await until(lambda: rig.phase("a") == Phase.RUNNING)
        rig.fleet.refuse(rig.statuses["a"], WRONG)
        await until(lambda: rig.phase("a") == Phase.FAILED, seconds=30)
        assert why_failed(rig, "a") == "InvalidSpec"


WRONG = Fault(Reason.INVALID_SPEC, "spec.rate: no")


def why_failed(rig: FleetRig, uid: str) -> str:
    condition = rig.statuses[uid].status.condition("Failed")
    return condition.reason if condition is not None and condition.is_true else ""


async def refused_since_a_restart(rig: FleetRig, uid: str, phase: Phase) -> JobRun:
    """A run that one operator brought to ``phase``, as another finds it when it can't be accepted any more."""
    async with rig.going(uid):
        await until(lambda: rig.phase(uid) == phase)
        await asyncio.sleep(3)
    rig.runs.unlisted.add(uid)  # as what is refused is
    rig.restart()
    return rig.statuses[uid]


async def test_one_that_is_refused_since_a_restart_is_ended_and_freed() -> None:
    rig = FleetRig()
    rig.create("a", rate={"tasks": 1, "periodSeconds": 10}, cleanupSecondsAfterFinished=100)
    run = await refused_since_a_restart(rig, "a", Phase.RUNNING)
    assert (await rig.workers.observe("a")).running
    asked = len(rig.workers.asked)
    async with rig.going():
        rig.fleet.refuse(run, WRONG)
        await until(lambda: rig.phase("a") == Phase.FAILED, seconds=30)
        assert why_failed(rig, "a") == "InvalidSpec"
        assert "pause a" in rig.broker.calls
        assert (await rig.workers.observe("a")).running == 0
        await until(lambda: rig.statuses["a"].status.replicas == 0, seconds=5)
        assert {replicas for _, replicas in rig.workers.asked[asked:]} == {0}
        released = len(rig.broker.stored)
        await asyncio.sleep(60)
        assert len(rig.broker.stored) == released
        await until(lambda: "delete a" in rig.broker.calls, seconds=60)
        assert len(rig.fleet) == 1


async def test_one_that_is_refused_is_not_scaled_while_the_broker_is_away() -> None:
    rig = FleetRig()
    rig.create("a", rate={"tasks": 1, "periodSeconds": 10})
    run = await refused_since_a_restart(rig, "a", Phase.RUNNING)
    asked = len(rig.workers.asked)
    rig.broker.fault = BrokerUnavailable("away")
    async with rig.going():
        rig.fleet.refuse(run, WRONG)
        await asyncio.sleep(60)
        assert len(rig.workers.asked) == asked  # what it was made of is not known any more
        rig.broker.fault = None
        await until(lambda: rig.phase("a") == Phase.FAILED, seconds=30)


async def test_one_that_was_refused_from_the_start_has_nothing_made_for_it() -> None:
    rig = FleetRig()
    run = rig.create("a", ttlSecondsAfterFinished=100)
    async with rig.going():
        rig.fleet.refuse(run, WRONG)
        rig.fleet.refuse(run, WRONG)
        await until(lambda: rig.phase("a") == Phase.FAILED, seconds=30)
        assert (rig.broker.calls, rig.workers.asked) == ([], [])
        writes = len(rig.statuses.writes)
        await asyncio.sleep(30)
        rig.fleet.refuse(rig.statuses["a"], WRONG)
        await asyncio.sleep(30)
        assert len(rig.statuses.writes) == writes
        await until(lambda: "a" not in rig.runs.known, seconds=60)


async def test_one_that_is_complete_stays_so_and_is_freed() -> None:
    """Its dead letters are retried when it is acceptable again, and not before."""
    rig = FleetRig()
    rig.create("a", retry={"maxAttempts": 1}, cleanupSecondsAfterFinished=1000)
    labour = Labour(rig.broker, rig.workers, "a", max_attempts=1, fails=lambda index, attempt: index == 1)
    working = asyncio.create_task(labour.main())
    run = await refused_since_a_restart(rig, "a", Phase.COMPLETED)
    async with rig.going():
        rig.retries.ask("a", 1)
        rig.fleet.refuse(run, WRONG)
        await asyncio.sleep(60)
        assert (rig.phase("a"), rig.retries.calls) == (Phase.COMPLETED, [])
        rig.fleet.tell(rig.statuses.edit("a", maxWaiting=7))
        await until(lambda: len(rig.retries.calls) == 1, seconds=10)
        await until(lambda: rig.phase("a") == Phase.COMPLETED)
        rig.fleet.refuse(rig.statuses["a"], WRONG)
        await until(lambda: "delete a" in rig.broker.calls, seconds=1100)
    working.cancel()


async def test_what_is_refused_and_deleted_is_found_by_the_next_list() -> None:
    rig = FleetRig()
    run = rig.create("a")
    rig.runs.unlisted.add("a")
    async with rig.going():
        rig.fleet.refuse(run, WRONG)
        await until(lambda: rig.phase("a") == Phase.FAILED, seconds=30)
        rig.runs.known.discard("a")
        await until(lambda: len(rig.fleet) == 0, seconds=70)


async def test_its_beat_goes_on_whatever_is_away() -> None:
    rig = FleetRig()
    async with rig.going():
        rig.runs.fault = ApiUnavailable("away")
        rig.ownership.fault = BrokerUnavailable("away")
        for _ in range(20):
            await asyncio.sleep(10)
            assert clock() - rig.fleet.beat <= 6


async def test_one_that_is_edited_after_its_end_says_so_and_stays_ended() -> None:
    rig = FleetRig()
    rig.create("a")
    async with rig.going("a"):
        await until(lambda: rig.phase("a") == Phase.COMPLETED)
        await until(lambda: rig.workers.asked[-1][-1] == 0)
        counts, asked = rig.statuses["a"].status.tasks, list(rig.workers.asked)
        edited = rig.statuses.edit("a", maxWaiting=7)
        rig.fleet.tell(edited)
        await until(
            lambda: rig.statuses["a"].status.observed_generation == edited.metadata.generation, seconds=10
        )
        assert rig.phase("a") == Phase.COMPLETED
        assert (rig.statuses["a"].status.tasks, rig.workers.asked) == (counts, asked)


async def test_one_that_is_complete_goes_on_when_a_dead_letter_is_to_be_retried() -> None:
    rig = FleetRig()
    rig.create("a", retry={"maxAttempts": 1})
    labour = Labour(rig.broker, rig.workers, "a", max_attempts=1, fails=lambda index, attempt: index == 1)
    working = asyncio.create_task(labour.main())
    async with rig.going():
        await until(lambda: rig.phase("a") == Phase.COMPLETED)
        await asyncio.sleep(60)
        assert not rig.retries.calls
        rig.retries.ask("a", 1)
        await until(lambda: len(rig.retries.calls) == 1, seconds=10)
        await until(lambda: rig.phase("a") == Phase.COMPLETED)
        tasks = rig.statuses["a"].status.tasks
        assert tasks is not None
        assert (tasks.failed, tasks.succeeded) == (0, TOTAL)
    working.cancel()


@contextmanager
def last_report_waits(rig: FleetRig) -> Iterator[asyncio.Event]:
    """What is written of a run that is complete waits, as for the budget of writes, until this is left; the event is
    set when it does."""
    write, waits, goes_on = rig.statuses.write, asyncio.Event(), asyncio.Event()

    async def slow(run: JobRun, status: JobRunStatus) -> JobRun:
        if run.status.phase == Phase.COMPLETED and status.phase == Phase.COMPLETED:
            waits.set()
            await goes_on.wait()
        return await write(run, status)

    rig.statuses.write = slow  # type: ignore[method-assign]
    try:
        yield waits
    finally:
        goes_on.set()


async def test_one_that_goes_on_has_one_engine_at_a_time() -> None:
    """The one of before is still at its last report when a retry is asked for, and then stops listening."""
    rig = FleetRig()
    rig.create("a", retry={"maxAttempts": 1})
    rig.retries.seconds = 30.0
    labour = Labour(rig.broker, rig.workers, "a", max_attempts=1, fails=lambda index, attempt: index == 1)
    working = asyncio.create_task(labour.main())
    async with rig.going():
        with last_report_waits(rig) as waits:
            await waits.wait()
            rig.retries.ask("a", 1)
            await asyncio.sleep(20)
        await until(lambda: rig.phase("a") == Phase.RUNNING, seconds=20)
        await asyncio.sleep(5)
        assert rig.phase("a") == Phase.RUNNING
        assert rig.pulses.is_heard("a")
        await until(lambda: rig.phase("a") == Phase.COMPLETED)
    working.cancel()


async def test_an_edit_during_the_last_report_is_observed_all_the_same() -> None:
    rig = FleetRig()
    rig.create("a")
    async with rig.going("a"):
        with last_report_waits(rig) as waits:
            await waits.wait()
            edited = rig.statuses.edit("a", maxWaiting=7)
            rig.fleet.tell(edited)
            await asyncio.sleep(1)
            assert rig.pulses.is_heard("a")
        await until(
            lambda: rig.statuses["a"].status.observed_generation == edited.metadata.generation, seconds=70
        )
        assert rig.phase("a") == Phase.COMPLETED
        await until(lambda: not rig.pulses.is_heard("a"), seconds=5)
