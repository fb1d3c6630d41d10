"""A source of tasks in memory, with what can go wrong with one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence

from jobrun_operator.engine.ports import SourceSummary
from jobrun_operator.errors import JobRunError


class ListedSource:
    """The ``TaskSource`` of ``count`` tasks whose payloads are ``task <index>``."""

    def __init__(self, count: int, *, chunk: int = 1000) -> None:
        self.count = count
        self.fault: JobRunError | None = None
        """Where set, everything raises it."""
        self.ends_at: int | None = None
        """Where set, a pass ends early."""
        self.version = ""
        self.opened: list[int] = []
        """The index that each pass began at."""
        self.open = 0
        """Passes that are neither over nor closed."""
        self.scans = 0
        self.before_chunk: Callable[[], object] = lambda: None
        """Called before each chunk is handed out."""
        self.seconds_a_chunk = 0.0
        self._chunk = chunk

    async def scan(self) -> SourceSummary:
        self.scans += 1
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        digest = hashlib.sha256(f"{self.count} {self.version}".encode()).hexdigest()
        return SourceSummary(self.count, f"sha256:{digest}", self.version)

    async def is_unchanged(self, known: SourceSummary) -> bool:
        return await self.scan() == known

    async def read(self, start: int) -> AsyncIterator[Sequence[bytes]]:
        self.opened.append(start)
        self.open += 1
        try:
            end = self.count if self.ends_at is None else self.ends_at
            for first in range(start, end, self._chunk):
                await asyncio.sleep(self.seconds_a_chunk)
                self.before_chunk()
                if self.fault is not None:
                    raise self.fault
                yield [b"task %d" % index for index in range(first, min(first + self._chunk, end))]
        finally:
            self.open -= 1
