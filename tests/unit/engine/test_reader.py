"""Payloads by index: reading on is cheap, going back opens the source again."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Sequence

import pytest

from jobrun_operator.engine.reader import SourceReader
from jobrun_operator.errors import SourceError, SourceUnavailable
from support.listed_source import ListedSource


class _Chunk(list[bytes]):
    """It can be seen when nobody keeps it any more."""


class _WatchedSource(ListedSource):
    """Sees which of its chunks are kept, by itself as well: the newest."""

    def __init__(self, count: int, *, chunk: int) -> None:
        super().__init__(count, chunk=chunk)
        self._given: list[weakref.ref[_Chunk]] = []

    @property
    def kept(self) -> int:
        return sum(given() is not None for given in self._given)

    async def read(self, start: int) -> AsyncIterator[Sequence[bytes]]:
        async for payloads in super().read(start):
            chunk = _Chunk(payloads)
            self._given.append(weakref.ref(chunk))
            yield chunk


async def take(reader: SourceReader, index: int, count: int) -> list[bytes]:
    return list(await reader.take(index, count))


def tasks(first: int, after: int) -> list[bytes]:
    return [b"task %d" % index for index in range(first, after)]


async def test_on_and_on() -> None:
    source = ListedSource(25, chunk=10)
    async with SourceReader(source) as reader:
        assert await take(reader, 0, 4) == tasks(0, 4)
        assert await take(reader, 0, 4) == tasks(0, 4)  # nothing was stored
        reader.advance(4)
        assert await take(reader, 4, 100) == tasks(4, 10)  # what is at hand, not more
        reader.advance(6)
        assert await take(reader, 10, 3) == tasks(10, 13)
    assert source.opened == [0]


@pytest.mark.parametrize(
    ("index", "opened"), [(7, [5]), (10, [5]), (19, [5]), (24, [5]), (4, [5, 4]), (0, [5, 0])]
)
async def test_going_to_an_index(index: int, opened: list[int]) -> None:
    source = ListedSource(25, chunk=3)
    async with SourceReader(source) as reader:
        await reader.take(5, 1)
        assert (await take(reader, index, 1))[0] == b"task %d" % index
        assert (await take(reader, index, 1))[0] == b"task %d" % index
    assert source.opened == opened


async def test_far_ahead_the_source_is_opened_there() -> None:
    source = ListedSource(1_000_000)
    async with SourceReader(source) as reader:
        await reader.take(0, 1)
        assert await take(reader, 900_000, 1) == [b"task 900000"]
    assert source.opened == [0, 900_000]


@pytest.mark.parametrize("index", [25, 26, 100])
async def test_past_the_end(index: int) -> None:
    async with SourceReader(ListedSource(25, chunk=10)) as reader:
        await reader.take(20, 1)
        with pytest.raises(SourceError, match=f"ends before task {index}"):
            await reader.take(index, 1)


async def test_after_an_error_it_is_opened_again() -> None:
    source = ListedSource(25, chunk=10)
    async with SourceReader(source) as reader:
        await reader.take(0, 10)
        reader.advance(10)
        source.fault = SourceUnavailable("away")
        with pytest.raises(SourceUnavailable):
            await reader.take(10, 1)
        source.fault = None
        assert await take(reader, 10, 2) == tasks(10, 12)
    assert source.opened == [0, 10]


async def test_the_next_chunk_is_read_while_one_is_stored_whole() -> None:
    source, given = ListedSource(40, chunk=10), []
    source.before_chunk = lambda: given.append(source)
    async with SourceReader(source) as reader:
        await reader.take(0, 10)
        await settled()
        assert len(given) == 2  # and no further: what is read ahead is bounded
        reader.advance(10)
        assert await take(reader, 10, 12) == tasks(10, 20)
        await settled()
        assert len(given) == 3


async def test_of_a_chunk_that_goes_in_pieces_none_is_read_ahead() -> None:
    source, given = ListedSource(30, chunk=10), []
    source.before_chunk = lambda: given.append(source)
    async with SourceReader(source) as reader:
        for index, count in ((0, 4), (4, 6)):
            await reader.take(index, count)
            await settled()
            reader.advance(count)
        assert len(given) == 1


@pytest.mark.parametrize("pieces", [[10], [4, 6], [1, 9]])
async def test_who_waits_keeps_one_chunk(pieces: list[int]) -> None:
    source, index = _WatchedSource(40, chunk=10), 0
    async with SourceReader(source) as reader:
        for count in pieces * 3:
            await reader.take(index, count)
            await settled()
            reader.advance(count)
            index += count
            assert source.kept == 1


async def test_what_failed_ahead_is_told_when_it_is_reached_and_read_again_then() -> None:
    source = ListedSource(25, chunk=10)
    async with SourceReader(source) as reader:
        await reader.take(0, 10)
        source.fault = SourceUnavailable("away")
        await settled()
        source.fault = None
        assert await take(reader, 0, 10) == tasks(0, 10)  # they could not be stored yet
        reader.advance(10)
        with pytest.raises(SourceUnavailable):
            await reader.take(10, 1)
        assert await take(reader, 10, 2) == tasks(10, 12)
    assert source.opened == [0, 10]


@pytest.mark.parametrize("fault", [None, SourceUnavailable("away")])
async def test_nothing_is_left_running_or_unheard(fault: SourceUnavailable | None) -> None:
    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    source = ListedSource(25, chunk=10)
    reader = SourceReader(source)
    await reader.take(0, 10)
    source.fault, source.seconds_a_chunk = fault, 0.0 if fault else 3600.0
    await settled()
    await reader.aclose()
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not unheard


async def test_a_source_is_closed_also_where_closing_it_is_cancelled() -> None:
    source = ListedSource(25, chunk=10)
    reader = SourceReader(source)
    await reader.take(0, 10)
    await settled()  # the next chunk is there
    closing = asyncio.create_task(reader.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert source.open == 0


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
