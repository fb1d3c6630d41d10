"""Numbered tasks without data: ``spec.tasks.count``.

The payload of task ``i`` is ``{"index": i}``. Nothing is stored and nothing can change, so that a pass over a
billion tasks isn't made: the digest is that of the description, ``sha256`` of the text ``count:<n>``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence

from jobrun_operator.engine.ports import SourceSummary
from jobrun_operator.tasks.batches import MAX_TASKS


class CountedSource:
    """A ``TaskSource``; every index is reached at once."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def scan(self) -> SourceSummary:
        digest = hashlib.sha256(f"count:{self._count}".encode()).hexdigest()
        return SourceSummary(self._count, f"sha256:{digest}", size=self._count * len(_payload(self._count)))

    async def is_unchanged(self, known: SourceSummary) -> bool:
        return await self.scan() == known

    async def read(self, start: int) -> AsyncIterator[Sequence[bytes]]:
        for first in range(start, self._count, MAX_TASKS):
            after = min(first + MAX_TASKS, self._count)
            yield [_payload(index) for index in range(first, after)]
            await asyncio.sleep(0)


def _payload(index: int) -> bytes:
    return b'{"index": %d}' % index
