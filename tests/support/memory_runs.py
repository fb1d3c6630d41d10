"""The fleet's ports in memory: ``Runs`` over the resources, ``Ownership`` over the broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field

from jobrun_operator.api import JobRun
from jobrun_operator.core.sweep import OwnedStreams
from jobrun_operator.engine.ports import RunRef
from jobrun_operator.errors import JobRunError
from support.memory_reports import MemoryStatuses


@dataclass
class MemoryRuns:
    """``known`` are the uids that the API holds; what else ``statuses`` has was deleted."""

    statuses: MemoryStatuses
    known: set[str] = field(default_factory=set)
    unlisted: set[str] = field(default_factory=set)
    """Uids that a list leaves out by mistake."""
    fault: JobRunError | None = None
    """Where set, every call raises it."""
    looked: list[str] = field(default_factory=list)
    """Uids of live looks."""
    lists: int = 0

    async def list(self) -> AsyncIterator[JobRun]:
        self.lists += 1
        for uid in sorted(self.known - self.unlisted):
            await asyncio.sleep(0)
            self._raise_fault()
            yield self.statuses[uid]
        self._raise_fault()

    async def exists(self, run: RunRef) -> bool:
        await asyncio.sleep(0)
        self._raise_fault()
        self.looked.append(run.uid)
        return run.uid in self.known

    async def delete(self, run: JobRun) -> None:
        await asyncio.sleep(0)
        self._raise_fault()
        self.known.discard(run.uid)

    def _raise_fault(self) -> None:
        if self.fault is not None:
            raise self.fault


@dataclass
class MemoryOwnership:
    streams: list[OwnedStreams] = field(default_factory=list)
    fault: JobRunError | None = None

    async def owned(self) -> Collection[OwnedStreams]:
        if self.fault is not None:
            raise self.fault
        return list(self.streams)
