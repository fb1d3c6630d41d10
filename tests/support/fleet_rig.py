"""The fleet with everything around it in memory, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from jobrun_operator.api import JobRun, Phase
from jobrun_operator.engine.fleet import Fleet, FleetSettings
from jobrun_operator.engine.run import EngineSettings, Ports
from support.engine_rig import EPOCH, manifest
from support.listed_source import ListedSource
from support.memory_broker import MemoryBroker
from support.memory_holds import MemoryHolds, MemoryPulses
from support.memory_labour import Labour
from support.memory_reports import MemoryAudit, MemoryEvents, MemoryLiveStatus, MemoryStatuses
from support.memory_retries import MemoryRetries
from support.memory_runs import MemoryOwnership, MemoryRuns
from support.memory_workers import MemoryWorkers

TOTAL = 20


def clock() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class FleetRig:
    settings: FleetSettings = field(default_factory=FleetSettings)
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    statuses: MemoryStatuses = field(default_factory=MemoryStatuses)
    live: MemoryLiveStatus = field(default_factory=MemoryLiveStatus)
    ownership: MemoryOwnership = field(default_factory=MemoryOwnership)
    workers: MemoryWorkers = field(default_factory=lambda: MemoryWorkers(clock=clock))
    pulses: MemoryPulses = field(default_factory=MemoryPulses)
    runs: MemoryRuns = field(init=False)
    fleet: Fleet = field(init=False)
    retries: MemoryRetries = field(init=False)
    _ports: Ports = field(init=False)
    broken: set[str] = field(default_factory=set)
    """Uids whose source can't even be opened: a fault of ours."""

    def __post_init__(self) -> None:
        self.runs = MemoryRuns(self.statuses)
        self.retries = MemoryRetries(self.broker)
        ports = Ports(
            streams=self.broker,
            observer=self.broker,
            publisher=self.broker,
            audit=MemoryAudit(),
            live=self.live,
            statuses=self.statuses,
            events=MemoryEvents(),
            workers=self.workers,
            holds=MemoryHolds(),
            pulses=self.pulses,
            retries=self.retries,
            open_source=self._open,
            now=lambda: EPOCH + timedelta(seconds=clock()),
        )
        self._ports = ports
        self.restart()

    def restart(self) -> None:
        """Another operator, that knows of nothing yet."""
        self.fleet = Fleet(self._ports, self.runs, self.ownership, EngineSettings(), self.settings)

    def _open(self, run: JobRun) -> ListedSource:
        if run.uid in self.broken:
            raise ZeroDivisionError("a fault of ours")
        return ListedSource(TOTAL)

    def create(self, uid: str, **spec: Any) -> JobRun:
        """As a user does; nobody is told."""
        self.runs.known.add(uid)
        return self.statuses.create(manifest(**{"tasks": {"count": TOTAL}, **spec}), uid)

    def phase(self, uid: str) -> Phase | None:
        return self.statuses[uid].status.phase

    @contextlib.asynccontextmanager
    async def going(self, *labour: str) -> AsyncIterator[None]:
        """``labour``: uids of runs whose tasks are done."""
        work = [self.fleet.main(), *(Labour(self.broker, self.workers, uid).main() for uid in labour)]
        tasks = [asyncio.create_task(one) for one in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
