"""Hands out the payloads of a source by index, and goes where the broker says that it must: back after a lost tail,
forward past what another engine, or a batch whose answer was lost, has stored.

The next chunk is read while one is stored whole: neither waits for the other. Behind a chunk that goes in pieces, as it
does under back-pressure or at a rate, nothing is read ahead; and what is stored is not kept. So a run that waits keeps
one chunk of its source, and a second one only while a whole one is being stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from types import TracebackType

from jobrun_operator.engine.ports import TaskSource
from jobrun_operator.errors import SourceError

_SHORT_WAY = 10_000
"""Tasks that are read and passed over rather than opening the source again behind them."""


class SourceReader:
    """A position in a source. Reading on is cheap; going back, or far ahead, opens the source again there."""

    def __init__(self, source: TaskSource) -> None:
        self._source = source
        self._chunks: AsyncIterator[Sequence[bytes]] | None = None
        self._chunk: Sequence[bytes] = ()
        self._ahead: asyncio.Task[Sequence[bytes]] | None = None
        """Reads the chunk behind ``_chunk``."""
        self._offset = 0
        self._next = -1
        """Index of the payload at ``_offset``; -1 where nothing is open."""

    async def take(self, index: int, count: int) -> Sequence[bytes]:
        """At least one and at most ``count`` payloads from ``index`` on.

        Raises SourceError where the source has ended before ``index``: it is not the one that was counted.
        """
        if self._chunks is None or not 0 <= index - self._next <= _SHORT_WAY:
            await self.aclose()
            self._chunks = self._source.read(index)
            self._next = index
        self.advance(index - self._next)
        while self._offset >= len(self._chunk):
            self._offset -= len(self._chunk)
            try:
                self._chunk = await (self._ahead or _following(self._chunks))
                self._ahead = None
                if not self._chunk:
                    raise SourceError("spec.tasks", f"the source ends before task {index}: it has changed")
            except BaseException:
                await self.aclose()  # what was read in part can't be trusted to go on
                raise
        if self._offset == 0 and count >= len(self._chunk) and self._ahead is None:
            self._ahead = asyncio.create_task(_following(self._chunks))
        return self._chunk[self._offset : self._offset + count]

    def advance(self, count: int) -> None:
        """``count`` of the payloads that ``take`` gave are stored."""
        self._offset += count
        self._next += count
        if self._offset >= len(self._chunk):
            self._offset -= len(self._chunk)
            self._chunk = ()

    async def aclose(self) -> None:
        """Keep nothing, and leave nothing open, also where this is cancelled; ``take`` opens the source again."""
        chunks, self._chunks = self._chunks, None
        ahead, self._ahead = self._ahead, None
        self._chunk, self._offset, self._next = (), 0, -1
        try:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)  # nobody needs to know any more
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def __aenter__(self) -> SourceReader:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def _following(chunks: AsyncIterator[Sequence[bytes]]) -> Sequence[bytes]:
    """The next chunk; empty behind the last one."""
    try:
        return await anext(chunks)
    except StopAsyncIteration:
        return ()
