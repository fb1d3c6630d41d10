"""A source of tasks that is a stored stream of bytes: parsed as it comes, in flat memory, in the event loop.

Promises: one pass checks and counts everything; every later pass reads the same tasks or raises SourceError before it
hands out another one. A store's own proof, a version (the digest of an object or a ConfigMap, a strong ETag), costs
nothing. Where there is none, the checking pass notes the digest of all that came before at the end of each chunk, and
reading compares it before the chunk is handed out. That costs 16 bytes per chunk of up to 1000 tasks, and reading from
the middle parses and hashes what is in front of it too. What is proved to be what was checked is not checked again.

Parsing runs in the loop in slices of a millisecond or two, with other tasks let in between. A thread was
measured against it: no faster, because all of it holds the interpreter's lock, and the loop's own pauses were
longer (up to the interpreter's switch interval of 5 ms each time that it wakes).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Protocol

from jobrun_operator.api.types import MAX_TASKS
from jobrun_operator.engine.ports import SourceSummary
from jobrun_operator.errors import SourceError
from jobrun_operator.tasks.batches import Batcher
from jobrun_operator.tasks.records import RecordParser
from jobrun_operator.tasks.tally import Tally

SLICE = 16 * 1024
"""Bytes parsed before other tasks of the loop get their turn."""


@dataclass(frozen=True, slots=True)
class OpenBytes:
    version: str
    """Proof of identity by the store; empty where it has none."""
    chunks: AsyncIterator[bytes]


class ByteStream(Protocol):
    """Bytes in a store, that can be read from their beginning any number of times."""

    @property
    def name(self) -> str:
        """What messages call it, in front of a line number."""
        ...

    async def version(self) -> str:
        """Of what is there now; empty where the store has no proof of identity."""
        ...

    def open(self, expected: str = "") -> AbstractAsyncContextManager[OpenBytes]:
        """Begin to read. With ``expected``, raises SourceError where that version is not there any more.

        Opening and reading raise SourceUnavailable where trying again can help; in particular where the bytes end
        early: what ends without an error is whole.
        """
        ...


def changed(name: str) -> SourceError:
    return SourceError(
        name, "the source changed after the run was accepted; tasks of a run must stay as they are"
    )


class StreamedSource:
    """A ``TaskSource`` over bytes and the parser of their format.

    ``scan`` and a positive ``is_unchanged`` note the version that they saw, or the marks where there was none;
    ``read`` insists on them.
    """

    def __init__(
        self,
        stream: ByteStream,
        parser: type[RecordParser],
        *,
        max_payload: int,
        max_tasks: int = MAX_TASKS,
    ) -> None:
        self._stream = stream
        self._parser = parser
        self._max_payload = max_payload
        self._max_tasks = max_tasks
        self._version = ""
        self._marks: Sequence[bytes] | None = None

    async def scan(self) -> SourceSummary:
        found, marks = await self._survey()
        self._version, self._marks = found.version, marks
        return found

    async def is_unchanged(self, known: SourceSummary) -> bool:
        version = await self._stream.version() if known.version else ""
        if version:
            unchanged = version == known.version
            if unchanged:
                self._version = version
            return unchanged
        found, marks = await self._survey()
        unchanged = (found.count, found.digest) == (known.count, known.digest)
        if unchanged:
            self._version, self._marks = found.version, marks
        return unchanged

    async def read(self, start: int) -> AsyncIterator[Sequence[bytes]]:
        marks = None if self._version else self._marks
        async with (
            self._stream.open(self._version) as opened,
            aclosing(
                self._chunks(
                    opened,
                    skip=start if marks is None else 0,
                    validated=bool(self._version) or marks is not None,
                )
            ) as chunks,
        ):
            if marks is None:
                async for chunk in chunks:
                    yield chunk
                return
            tally, expected = Tally(self._stream.name, self._max_tasks), iter(marks)
            async for chunk in chunks:
                passed = tally.count
                tally.add(chunk)
                if tally.mark() != next(expected, b""):
                    raise changed(self._stream.name)
                if wanted := chunk[max(0, start - passed) :]:
                    yield wanted
            if next(expected, b""):
                raise changed(self._stream.name)

    async def _survey(self) -> tuple[SourceSummary, Sequence[bytes]]:
        """One whole pass, and its marks where the store has no version."""
        tally = Tally(self._stream.name, self._max_tasks)
        marks = []
        async with self._stream.open() as opened, aclosing(self._chunks(opened)) as chunks:
            async for chunk in chunks:
                tally.add(chunk)
                if not opened.version:
                    marks.append(tally.mark())
        if not tally.count:
            raise SourceError(self._stream.name, "there is no task in it")
        return SourceSummary(tally.count, tally.digest(), opened.version, tally.size), marks

    async def _chunks(
        self, opened: OpenBytes, *, skip: int = 0, validated: bool = False
    ) -> AsyncGenerator[Sequence[bytes]]:
        """Where they end depends on the tasks alone, and not on the pieces in which the bytes come."""
        batcher = Batcher()
        parser = self._parser(self._stream.name, self._max_payload, skip, validated=validated)
        async for data in opened.chunks:
            for start in range(0, len(data), SLICE):
                for chunk in batcher.add(parser.feed(data[start : start + SLICE])):
                    yield chunk
                await asyncio.sleep(0)
        for chunk in batcher.add(parser.finish()):
            yield chunk
        for chunk in batcher.rest():
            yield chunk
