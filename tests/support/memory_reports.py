"""The ports an engine tells things to, in memory: ``Audit``, ``LiveStatus``, ``StatusWriter`` and ``Events``.

Each keeps what it was told with the time of the running loop's clock, and raises ``fault`` where one is set: an
error of ours, or anything else, which then is a crash of the engine at that point.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jobrun_operator.api import JobRun, JobRunStatus
from jobrun_operator.engine.ports import AuditRecord, RunRef
from jobrun_operator.errors import Conflict, Gone


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class MemoryAudit:
    records: dict[str, AuditRecord] = field(default_factory=dict)
    """By id: told twice, kept once."""
    told: list[str] = field(default_factory=list)
    """The id of every call."""
    fault: BaseException | None = None

    async def record(self, record: AuditRecord) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        self.told.append(record.id)
        self.records.setdefault(record.id, record)

    @property
    def types(self) -> list[str]:
        """The reasons of transitions, in order."""
        return [record.type for record in self.records.values()]


@dataclass
class MemoryLiveStatus:
    shown: list[tuple[float, JobRunStatus]] = field(default_factory=list)
    newest: dict[tuple[str, str], JobRunStatus] = field(default_factory=dict)
    """By namespace and name."""
    forgotten: list[RunRef] = field(default_factory=list)
    fault: BaseException | None = None

    async def put(self, run: RunRef, status: JobRunStatus) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        self.shown.append((_now(), status))
        self.newest[run.namespace, run.name] = status

    async def forget(self, run: RunRef) -> None:
        if self.fault is not None:
            raise self.fault
        self.newest.pop((run.namespace, run.name), None)
        self.forgotten.append(run)


@dataclass
class MemoryEvents:
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    told: list[tuple[str, str, bool]] = field(default_factory=list)
    """Reason, message, warning."""
    fault: BaseException | None = None

    async def publish(self, run: JobRun, *, reason: str, message: str, warning: bool) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        self.told.append((reason, message, warning))
        self.reasons.append(reason)
        if warning:
            self.warnings.append(reason)


class MemoryStatuses:
    """The resources themselves, with optimistic locking as an API server has it."""

    def __init__(self) -> None:
        self._runs: dict[str, JobRun] = {}
        self.writes: list[tuple[float, JobRunStatus]] = []
        self.fault: BaseException | None = None
        self.before_write: Callable[[JobRunStatus], None] = lambda status: None
        """Called in every write, before versions are compared."""

    def create(self, run: JobRun, uid: str) -> JobRun:
        metadata = run.metadata.model_copy(update={"uid": uid, "resource_version": "1", "generation": 1})
        self._runs[uid] = run.model_copy(update={"metadata": metadata})
        return self._runs[uid]

    def __getitem__(self, uid: str) -> JobRun:
        return self._runs[uid]

    def edit(self, uid: str, **spec: Any) -> JobRun:
        """As a user does: fields of spec as in a manifest; None takes one out."""
        wire = self._runs[uid].to_wire()
        wire["spec"] |= spec
        edited = JobRun.from_wire(wire)
        metadata = edited.metadata.model_copy(update={"generation": edited.metadata.generation + 1})
        return self._keep(edited.model_copy(update={"metadata": metadata}))

    def annotate(self, uid: str, **annotations: str) -> JobRun:
        """Changes the version, and not the generation."""
        run = self._runs[uid]
        metadata = run.metadata.model_copy(update={"annotations": run.metadata.annotations | annotations})
        return self._keep(run.model_copy(update={"metadata": metadata}))

    def delete(self, uid: str) -> None:
        del self._runs[uid]

    async def write(self, run: JobRun, status: JobRunStatus) -> JobRun:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        self.before_write(status)
        stored = await self.read(run)
        if stored.metadata.resource_version != run.metadata.resource_version:
            raise Conflict(f"{run.name} was changed by somebody else")
        self.writes.append((_now(), status))
        return self._keep(stored.with_status(JobRunStatus.model_validate(status.to_wire())))

    async def read(self, run: JobRun) -> JobRun:
        await asyncio.sleep(0)
        if run.uid not in self._runs:
            raise Gone(f"{run.name} is gone")
        return self._runs[run.uid]

    def _keep(self, run: JobRun) -> JobRun:
        version = str(int(self._runs[run.uid].metadata.resource_version) + 1)
        metadata = run.metadata.model_copy(update={"resource_version": version})
        self._runs[run.uid] = run.model_copy(update={"metadata": metadata})
        return self._runs[run.uid]
