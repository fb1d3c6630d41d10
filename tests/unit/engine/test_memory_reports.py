"""The ports in memory that the engine's tests use keep the promises of their ports."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from jobrun_operator.api import JobRun, JobRunStatus
from jobrun_operator.engine.ports import AuditRecord, RunRef
from support.memory_reports import MemoryAudit, MemoryEvents, MemoryLiveStatus, MemoryStatuses
from support.reports_conformance import (
    AuditBench,
    AuditConformance,
    EventsBench,
    EventsConformance,
    LiveBench,
    LiveStatusConformance,
    News,
    StatusWriterConformance,
    manifest,
)


class TestMemoryAudit(AuditConformance):
    @pytest.fixture
    def audits(self) -> AuditBench:
        audit = MemoryAudit()

        async def kept() -> Sequence[AuditRecord]:
            return list(audit.records.values())

        return AuditBench(audit, kept)


class TestMemoryLiveStatus(LiveStatusConformance):
    @pytest.fixture
    def lives(self) -> LiveBench:
        live = MemoryLiveStatus()

        async def shown(run: RunRef) -> JobRunStatus | None:
            return live.newest.get((run.namespace, run.name))

        return LiveBench(live, shown)


class MemoryStatusBench:
    def __init__(self) -> None:
        self.statuses = MemoryStatuses()
        self._created = 0

    async def create(self) -> JobRun:
        self._created += 1
        return self.statuses.create(JobRun.from_wire(manifest()), f"000{self._created}")

    async def edit(self, run: JobRun) -> None:
        self.statuses.edit(run.uid, suspend=True)

    async def delete(self, run: JobRun) -> None:
        self.statuses.delete(run.uid)


class TestMemoryStatuses(StatusWriterConformance):
    @pytest.fixture
    def bench(self) -> MemoryStatusBench:
        return MemoryStatusBench()


class TestMemoryEvents(EventsConformance):
    @pytest.fixture
    def news(self) -> EventsBench:
        events = MemoryEvents()

        async def told() -> Sequence[News]:
            return [News(*one) for one in events.told]

        return EventsBench(events, JobRun.from_wire(manifest()), told)
