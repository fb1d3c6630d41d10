"""Payloads by index: reading on is cheap, going back opens the source again."""

from __future__ import annotations

import pytest

from jobrun_operator.engine.reader import SourceReader
from jobrun_operator.errors import SourceError, SourceUnavailable
from support.listed_source import ListedSource


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
