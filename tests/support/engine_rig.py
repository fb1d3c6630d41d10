"""A RunEngine with everything around it in memory, in virtual time: broker, workers, resource and reports."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from jobrun_operator.api import Condition, JobRun, Phase
from jobrun_operator.engine.ports import TaskSource
from jobrun_operator.engine.run import EngineSettings, Ports, RunEngine
from support.listed_source import ListedSource
from support.memory_broker import MemoryBroker
from support.memory_holds import MemoryHolds, MemoryPulses
from support.memory_labour import Labour
from support.memory_reports import MemoryAudit, MemoryEvents, MemoryLiveStatus, MemoryStatuses
from support.memory_retries import MemoryRetries
from support.memory_workers import MemoryWorkers
from support.virtual_time import until

UID = "0001"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def _clock() -> float:
    return asyncio.get_running_loop().time()


def manifest(**spec: Any) -> JobRun:
    """A run of 100 tasks at 10/s; None takes a field out."""
    fields: dict[str, Any] = {
        "tasks": {"count": 100},
        "rate": {"tasks": 10, "periodSeconds": 1},
        "worker": {"image": "push:1", "python": "push:call"},
        **spec,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    wire = {"apiVersion": "jobrun.dev/v1alpha1", "kind": "JobRun", "metadata": {"name": "backfill"}}
    return JobRun.from_wire({**wire, "spec": fields})


@dataclass
class EngineRig:
    """``drive`` runs an engine; another ``drive`` on the same rig is an engine that was started again, with the
    workers that there are."""

    source: ListedSource
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    workers: MemoryWorkers = field(default_factory=lambda: MemoryWorkers(clock=_clock, drain_delay=0.5))
    statuses: MemoryStatuses = field(default_factory=MemoryStatuses)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    live: MemoryLiveStatus = field(default_factory=MemoryLiveStatus)
    holds: MemoryHolds = field(default_factory=MemoryHolds)
    pulses: MemoryPulses = field(default_factory=MemoryPulses)
    settings: EngineSettings = field(default_factory=lambda: EngineSettings(interval=1.03))
    """Looks that are no multiple of the time between releases: else each would be made right after one, as only virtual
    time can."""
    open_source: Callable[[JobRun], TaskSource] | None = None
    engine: RunEngine = field(init=False)
    labour: Labour = field(init=False)
    retries: MemoryRetries = field(init=False)
    _labouring: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.labour = Labour(self.broker, self.workers, UID)
        self.retries = MemoryRetries(self.broker)

    @contextlib.asynccontextmanager
    async def drive(self, *, labour: bool = True) -> AsyncIterator[asyncio.Task[None]]:
        """The task is the engine's."""
        if labour and self._labouring is None:
            self._labouring = asyncio.create_task(self.labour.main())
        self.engine = self.new_engine()
        main = asyncio.create_task(self.engine.main())
        try:
            yield main
        finally:
            main.cancel()
            await asyncio.wait({main})

    def new_engine(self) -> RunEngine:
        ports = Ports(
            streams=self.broker,
            observer=self.broker,
            publisher=self.broker,
            audit=self.audit,
            live=self.live,
            statuses=self.statuses,
            events=self.events,
            workers=self.workers,
            holds=self.holds,
            pulses=self.pulses,
            retries=self.retries,
            open_source=self.open_source or (lambda run: self.source),
            now=lambda: EPOCH + timedelta(seconds=_clock()),
        )
        return RunEngine(self.statuses[UID], ports, self.settings)

    # --- what users do and see --------------------------------------------------------------------------

    @property
    def run(self) -> JobRun:
        return self.statuses[UID]

    @property
    def phase(self) -> Phase | None:
        return self.run.status.phase

    def edit(self, **spec: Any) -> None:
        """As a user does, and the watch tells the engine."""
        self.engine.update(self.statuses.edit(UID, **spec))

    def condition(self, type_: str) -> Condition:
        found = self.run.status.condition(type_)
        assert found is not None, f"no condition {type_}"
        return found

    def reason(self, type_: str = "Ready") -> str:
        return self.condition(type_).reason

    async def reaches(self, phase: Phase, *, seconds: float = 3600.0) -> None:
        await until(lambda: self.phase == phase, seconds=seconds, every=0.05)

    async def ends(self, *, seconds: float = 3600.0) -> None:
        await until(self.engine.done.is_set, seconds=seconds, every=0.05)

    @property
    def phases(self) -> Sequence[str]:
        """Every phase that was written, once for each change."""
        seen: list[str] = []
        for _, status in self.statuses.writes:
            if status.phase is not None and (not seen or seen[-1] != status.phase.value):
                seen.append(status.phase.value)
        return seen


def rig(total: int = 100, **spec: Any) -> EngineRig:
    made = EngineRig(ListedSource(total))
    made.statuses.create(manifest(**{"tasks": {"count": total}, **spec}), UID)
    made.labour.keeps_results = made.run.spec.results.retain
    made.labour.max_attempts = made.run.spec.retry.max_attempts
    return made
