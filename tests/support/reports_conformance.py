"""What every implementation of the ports ``Audit``, ``LiveStatus``, ``StatusWriter`` and ``Events`` must do.

A test class inherits one of the suites and gives its fixture: the port, with a look at what it keeps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from jobrun_operator.api import Condition, ConditionStatus, JobRun, JobRunStatus, Phase, Summary, TaskCounts
from jobrun_operator.engine.ports import Audit, AuditRecord, Events, LiveStatus, RunRef, StatusWriter
from jobrun_operator.errors import Conflict, Gone

RUN = RunRef("shop", "backfill", "0001")
OTHERS = [RunRef("shop", "backfill.eu", "0002"), RunRef("lab", "backfill", "0003")]

RECORD = AuditRecord(
    "0001.Running.Started.first", RUN, "Started", 'begun: ü\n"x"', "2026-01-01T00:00:00+00:00", "Running"
)


def status(phase: Phase = Phase.RUNNING, released: int = 0) -> JobRunStatus:
    at = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    ready = Condition(
        type="Ready",
        status=ConditionStatus.TRUE,
        reason="Working",
        message='ü "x"',
        last_transition_time=at,
        observed_generation=1,
    )
    return JobRunStatus(
        phase=phase,
        start_time=at,
        tasks=TaskCounts(total=100, released=released),
        summary=Summary(progress="0/100"),
        conditions=[ready],
    )


# --- Audit ----------------------------------------------------------------------------------------------


@dataclass
class AuditBench:
    audit: Audit
    kept: Callable[[], Awaitable[Sequence[AuditRecord]]]
    """In the order in which they were told."""


class AuditConformance:
    async def test_all_of_a_record_is_kept(self, audits: AuditBench) -> None:
        await audits.audit.record(RECORD)
        assert await audits.kept() == [RECORD]

    async def test_the_same_id_is_kept_once_as_it_was_first_told(self, audits: AuditBench) -> None:
        await audits.audit.record(RECORD)
        other = dataclasses.replace(RECORD, id="0001.Completed", type="Completed", phase="Completed")
        await audits.audit.record(other)
        for record in (RECORD, other):
            await audits.audit.record(dataclasses.replace(record, time="2026-01-01T00:00:09+00:00"))
        assert await audits.kept() == [RECORD, other]

    async def test_runs_are_apart(self, audits: AuditBench) -> None:
        records = [RECORD] + [dataclasses.replace(RECORD, id=f"{one.uid}.x", run=one) for one in OTHERS]
        for record in records:
            await audits.audit.record(record)
        assert await audits.kept() == records


# --- LiveStatus -----------------------------------------------------------------------------------------


@dataclass
class LiveBench:
    live: LiveStatus
    shown: Callable[[RunRef], Awaitable[JobRunStatus | None]]
    """None: there is none."""


class LiveStatusConformance:
    async def test_the_newest_is_shown(self, lives: LiveBench) -> None:
        assert await lives.shown(RUN) is None
        for released in (1, 3, 2):
            await lives.live.put(RUN, status(released=released))
            assert await lives.shown(RUN) == status(released=released)

    async def test_runs_are_apart(self, lives: LiveBench) -> None:
        for number, run in enumerate([RUN, *OTHERS]):
            await lives.live.put(run, status(released=number))
        await lives.live.forget(RUN)
        assert [await lives.shown(run) for run in [RUN, *OTHERS]] == [
            None,
            status(released=1),
            status(released=2),
        ]

    async def test_forgetting_may_be_repeated_and_taken_back(self, lives: LiveBench) -> None:
        await lives.live.forget(RUN)
        await lives.live.put(RUN, status(released=1))
        for _ in range(2):
            await lives.live.forget(RUN)
        assert await lives.shown(RUN) is None
        await lives.live.put(RUN, status(released=2))
        assert await lives.shown(RUN) == status(released=2)


# --- StatusWriter ---------------------------------------------------------------------------------------


class StatusBench(Protocol):
    """Runs with statuses, and what others do to them."""

    @property
    def statuses(self) -> StatusWriter: ...

    async def create(self) -> JobRun:
        """A new run, always of the same name."""
        ...

    async def edit(self, run: JobRun) -> None:
        """Somebody else changes its spec."""
        ...

    async def delete(self, run: JobRun) -> None: ...


class StatusWriterConformance:
    async def test_what_is_written_is_read(self, bench: StatusBench) -> None:
        run = await bench.create()
        assert await bench.statuses.read(run) == run
        written = await bench.statuses.write(run, status())
        assert written.status == status()
        assert await bench.statuses.read(run) == written

    async def test_a_write_is_another_version_of_the_same_run(self, bench: StatusBench) -> None:
        run = await bench.create()
        written = await bench.statuses.write(run, status())
        before, after = run.metadata, written.metadata
        assert after.resource_version != before.resource_version
        assert (after.uid, after.generation) == (before.uid, before.generation)
        assert (after.labels, after.annotations) == (before.labels, before.annotations)
        assert after.creation_timestamp == before.creation_timestamp
        assert written.spec == run.spec

    async def test_on_and_on_with_what_was_returned(self, bench: StatusBench) -> None:
        run = await bench.create()
        for phase in (Phase.PENDING, Phase.RUNNING, Phase.COMPLETED):
            run = await bench.statuses.write(run, status(phase))
        assert (await bench.statuses.read(run)).status == status(Phase.COMPLETED)

    async def test_a_status_takes_the_place_of_all_of_the_last_one(self, bench: StatusBench) -> None:
        run = await bench.statuses.write(await bench.create(), status())
        less = JobRunStatus(phase=Phase.PENDING)
        assert (await bench.statuses.write(run, less)).status == less
        assert (await bench.statuses.read(run)).status == less

    async def test_of_two_writers_one_wins(self, bench: StatusBench) -> None:
        run = await bench.create()
        won = await bench.statuses.write(run, status(Phase.RUNNING))
        with pytest.raises(Conflict):
            await bench.statuses.write(run, status(Phase.FAILED))
        assert await bench.statuses.read(run) == won

    async def test_a_run_that_was_edited_has_to_be_read_again(self, bench: StatusBench) -> None:
        run = await bench.create()
        await bench.edit(run)
        with pytest.raises(Conflict):
            await bench.statuses.write(run, status())
        edited = await bench.statuses.read(run)
        assert edited.metadata.generation == run.metadata.generation + 1
        assert edited.spec != run.spec
        assert (await bench.statuses.write(edited, status())).spec == edited.spec

    async def test_a_deleted_run_is_gone(self, bench: StatusBench) -> None:
        run = await bench.create()
        await bench.delete(run)
        with pytest.raises(Gone):
            await bench.statuses.write(run, status())
        with pytest.raises(Gone):
            await bench.statuses.read(run)

    async def test_another_run_of_the_same_name_is_left_alone(self, bench: StatusBench) -> None:
        run = await bench.create()
        await bench.delete(run)
        other = await bench.create()
        with pytest.raises((Gone, Conflict)):
            await bench.statuses.write(run, status())
        with pytest.raises(Gone):
            await bench.statuses.read(run)
        assert await bench.statuses.read(other) == other


# --- Events ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class News:
    reason: str
    message: str
    warning: bool


@dataclass
class EventsBench:
    events: Events
    run: JobRun
    told: Callable[[], Awaitable[Sequence[News]]]
    """In any order."""


class EventsConformance:
    async def test_all_news_are_told(self, news: EventsBench) -> None:
        told = [
            News("Started", "100 tasks at 10/s", False),
            News("Suspended", 'as "spec.suspend" says: ü', False),
            News("BrokerUnavailable", "away", True),
        ]
        await publish(news, *told)
        assert sorted(await news.told()) == sorted(told)

    async def test_the_same_reason_with_another_message_is_other_news(self, news: EventsBench) -> None:
        told = [News("WorkersFailed", "no such image", True), News("WorkersFailed", "no memory", True)]
        await publish(news, *told)
        assert sorted(await news.told()) == sorted(told)

    async def test_a_long_message_is_told_from_its_beginning(self, news: EventsBench) -> None:
        await publish(news, News("Failed", "begun " + "ü" * 5000, True))
        (told,) = await news.told()
        assert told.message.startswith("begun ü")


async def publish(bench: EventsBench, *news: News) -> None:
    for one in news:
        await bench.events.publish(bench.run, reason=one.reason, message=one.message, warning=one.warning)


def manifest(**spec: Any) -> dict[str, Any]:
    """Of the run of a ``StatusBench``."""
    return {
        "apiVersion": "jobrun.dev/v1alpha1",
        "kind": "JobRun",
        "metadata": {"name": "backfill"},
        "spec": {
            "tasks": {"count": 100},
            "worker": {"image": "registry.example/push:1", "python": "push:call"},
            **spec,
        },
    }
