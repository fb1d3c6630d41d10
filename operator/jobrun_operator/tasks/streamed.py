"""A source of tasks that is a stored stream of bytes: parsed as it comes, in flat memory, in the event loop.

Promises: one pass checks and counts everything; every later pass reads the same bytes or raises SourceError,
as far as the store can prove it by a version (the digest of an object or a ConfigMap, a strong ETag).

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

    ``scan`` and a positive ``is_unchanged`` note the version they saw; ``read`` insists on it.
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

    async def scan(self) -> SourceSummary:
        tally = Tally(self._stream.name, self._max_tasks)
        async with self._stream.open() as opened, aclosing(self._payloads(opened, skip=0)) as parsed:
            async for payloads in parsed:
                tally.add(payloads)
        if not tally.count:
            raise SourceError(self._stream.name, "there is no task in it")
        self._version = opened.version
        return SourceSummary(tally.count, tally.digest(), opened.version)

    async def is_unchanged(self, known: SourceSummary) -> bool:
        version = await self._stream.version() if known.version else ""
        if version:
            unchanged = version == known.version
            if unchanged:
                self._version = version
            return unchanged
        found = await self.scan()
        return (found.count, found.digest) == (known.count, known.digest)

    async def read(self, start: int) -> AsyncIterator[Sequence[bytes]]:
        batcher = Batcher()
        async with (
            self._stream.open(self._version) as opened,
            aclosing(self._payloads(opened, skip=start)) as parsed,
        ):
            async for payloads in parsed:
                for chunk in batcher.add(payloads):
                    yield chunk
        for chunk in batcher.rest():
            yield chunk

    async def _payloads(self, opened: OpenBytes, skip: int) -> AsyncGenerator[Sequence[bytes]]:
        parser = self._parser(self._stream.name, self._max_payload, skip)
        async for data in opened.chunks:
            for start in range(0, len(data), SLICE):
                yield parser.feed(data[start : start + SLICE])
                await asyncio.sleep(0)
        yield parser.finish()
