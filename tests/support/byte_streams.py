"""Bytes in memory as a ``ByteStream``, in pieces of any size, and what a test asks of a source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

from jobrun_operator.engine.ports import TaskSource
from jobrun_operator.tasks.records import RecordParser
from jobrun_operator.tasks.streamed import OpenBytes, StreamedSource, changed

MAX_PAYLOAD = 983_040


class MemoryBytes:
    def __init__(self, pieces: Iterable[bytes], *, name: str = "tasks.jsonl", version: str = "") -> None:
        self.pieces = list(pieces)
        self.name = name
        self.stored_version = version
        self.passes = 0

    async def version(self) -> str:
        return self.stored_version

    @asynccontextmanager
    async def open(self, expected: str = "") -> AsyncIterator[OpenBytes]:
        if expected and expected != self.stored_version:
            raise changed(self.name)
        self.passes += 1
        yield OpenBytes(self.stored_version, self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """``data`` in pieces, cut at these places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def source_of(
    parser: type[RecordParser], *pieces: bytes, max_payload: int = MAX_PAYLOAD, name: str = "tasks.jsonl"
) -> StreamedSource:
    return StreamedSource(MemoryBytes(pieces, name=name), parser, max_payload=max_payload)


async def payloads(source: TaskSource, start: int = 0) -> list[bytes]:
    return [payload for chunk in await chunks(source, start) for payload in chunk]


async def chunks(source: TaskSource, start: int = 0) -> list[Sequence[bytes]]:
    return [chunk async for chunk in source.read(start)]
