"""A source over bytes: its summary, its chunks, and that it is the same at every pass."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrun_operator.engine.ports import SourceSummary
from jobrun_operator.errors import SourceError
from jobrun_operator.tasks import jsonlines
from jobrun_operator.tasks.batches import MAX_BYTES, Batcher
from jobrun_operator.tasks.csvlines import CsvLines
from jobrun_operator.tasks.jsonlines import JsonLines
from jobrun_operator.tasks.records import RecordParser
from jobrun_operator.tasks.streamed import OpenBytes, StreamedSource
from support.byte_streams import MAX_PAYLOAD, MemoryBytes, chunks, payloads, source_of


def digest(*payloads: bytes) -> str:
    framed = b"".join(len(payload).to_bytes(8, "big") + payload for payload in payloads)
    return "sha256:" + hashlib.sha256(framed).hexdigest()


async def test_the_summary_is_of_the_payloads() -> None:
    summary = await source_of(JsonLines, b' 1\n\n"a', b'b"\r\n').scan()
    assert summary == SourceSummary(2, digest(b"1", b'"ab"'))


async def test_the_same_rows_as_csv_and_json_lines_are_the_same_tasks() -> None:
    as_csv = await source_of(CsvLines, b"id\n1\n").scan()
    assert as_csv == await source_of(JsonLines, b'{"id":"1"}').scan()


async def test_chunks_are_full_and_bounded() -> None:
    lines = b"".join(b"%d\n" % i for i in range(2500))
    assert [len(chunk) for chunk in await chunks(source_of(JsonLines, lines))] == [1000, 1000, 500]
    assert [len(chunk) for chunk in await chunks(source_of(JsonLines, lines), 1999)] == [501]
    assert await chunks(source_of(JsonLines, lines), 2500) == []
    large = b'"%s"\n' % (b"x" * 900_000)
    assert [len(chunk) for chunk in await chunks(source_of(JsonLines, large * 10))] == [4, 4, 2]


@given(st.lists(st.lists(st.integers(0, 3 * MAX_BYTES // 2) | st.integers(0, 9), max_size=5)))
def test_batches_keep_all_in_order(sizes: list[list[int]]) -> None:
    batcher = Batcher()
    taken = [[bytes(size) for size in sizes_of_one] for sizes_of_one in sizes]
    found = [list(chunk) for some in taken for chunk in batcher.add(some)]
    found += [list(chunk) for chunk in batcher.rest()]
    assert [payload for chunk in found for payload in chunk] == [p for some in taken for p in some]
    assert all(found)
    assert all(len(chunk) == 1 or sum(map(len, chunk)) <= MAX_BYTES for chunk in found)


async def test_too_many_tasks() -> None:
    stream = MemoryBytes([b"1\n" * 11])
    with pytest.raises(SourceError, match="more than 10 tasks"):
        await StreamedSource(stream, JsonLines, max_payload=MAX_PAYLOAD, max_tasks=10).scan()


class TestUnchanged:
    async def test_the_version_decides_without_another_pass(self) -> None:
        stream = MemoryBytes([b"1\n"], version="v1")
        source = StreamedSource(stream, JsonLines, max_payload=MAX_PAYLOAD)
        known = await source.scan()
        assert known.version == "v1"
        assert await source.is_unchanged(known)
        stream.stored_version = "v2"
        assert not await source.is_unchanged(known)
        assert stream.passes == 1

    @pytest.mark.parametrize(("before", "now"), [("", ""), ("v1", ""), ("", "v1")])
    async def test_without_a_version_on_both_sides_the_payloads_decide(self, before: str, now: str) -> None:
        known = SourceSummary(2, digest(b"1", b"2"), before)
        for data, same in ((b"1\n2\n", True), (b"1\r\n\n2", True), (b"1\n", False), (b"2\n1\n", False)):
            stream = MemoryBytes([data], version=now)
            source = StreamedSource(stream, JsonLines, max_payload=MAX_PAYLOAD)
            assert await source.is_unchanged(known) is same
            assert stream.passes == 1

    async def test_reading_insists_on_the_version_that_was_seen(self) -> None:
        stream = MemoryBytes([b"1\n"], version="v1")
        scanned = StreamedSource(stream, JsonLines, max_payload=MAX_PAYLOAD)
        known = await scanned.scan()
        resumed = StreamedSource(stream, JsonLines, max_payload=MAX_PAYLOAD)
        assert await resumed.is_unchanged(known)
        stream.stored_version = "v2"
        for source in (scanned, resumed):
            with pytest.raises(SourceError, match=r"^tasks\.jsonl: the source changed"):
                await payloads(source)


class TestWithoutVersion:
    """The store proves nothing: what the checking pass saw is compared with what is read, chunk by chunk."""

    LINES = 2_500

    @staticmethod
    def lines(count: int, **other: int) -> bytes:
        """``other`` at these indexes."""
        values = {int(at.removeprefix("at_")): value for at, value in other.items()}
        return b"".join(b"%d\n" % values.get(i, i) for i in range(count))

    @pytest.fixture(params=["scanned", "resumed"])
    async def stream(self, request: pytest.FixtureRequest) -> tuple[MemoryBytes, StreamedSource]:
        stream = MemoryBytes([self.lines(self.LINES)])
        source = StreamedSource(stream, JsonLines, max_payload=MAX_PAYLOAD)
        known = await source.scan()
        if request.param == "resumed":
            source = StreamedSource(stream, JsonLines, max_payload=MAX_PAYLOAD)
            assert await source.is_unchanged(known)
        return stream, source

    @pytest.mark.parametrize("start", [0, 3, 999, 1000, 2_499, 2_500])
    async def test_the_same_is_read_however_it_is_cut(
        self, stream: tuple[MemoryBytes, StreamedSource], start: int
    ) -> None:
        stored, source = stream
        for size in (7, 5_000, 1_000_000):
            data = self.lines(self.LINES)
            stored.pieces = [data[at : at + size] for at in range(0, len(data), size)]
            assert await payloads(source, start) == [b"%d" % i for i in range(start, self.LINES)]

    @pytest.mark.parametrize("start", [0, 3, 1_500, 2_499])
    @pytest.mark.parametrize(
        ("now", "good"),
        [
            pytest.param({"at_0": 7}, 0, id="the first task"),
            pytest.param({"at_1700": 7}, 1_000, id="one in the middle"),
            pytest.param({"at_2499": 7}, 2_000, id="the last task"),
            pytest.param({"count": 2_501}, 2_000, id="one more"),
            pytest.param({"count": 2_499}, 2_000, id="one fewer"),
            pytest.param({"count": 2_000}, 2_000, id="a chunk fewer"),
            pytest.param({"count": 0}, 0, id="nothing"),
        ],
    )
    async def test_no_chunk_of_another_content_is_handed_out(
        self, stream: tuple[MemoryBytes, StreamedSource], start: int, now: dict[str, int], good: int
    ) -> None:
        stored, source = stream
        stored.pieces = [self.lines(**{"count": self.LINES, **now})]
        found: list[bytes] = []

        async def take_all() -> None:
            async for chunk in source.read(start):
                found.extend(chunk)

        with pytest.raises(SourceError, match=r"^tasks\.jsonl: the source changed"):
            await take_all()
        assert found == [b"%d" % i for i in range(start, good)]

    async def test_one_chunk_more_is_not_handed_out(self) -> None:
        stored = MemoryBytes([self.lines(2_000)])
        source = StreamedSource(stored, JsonLines, max_payload=MAX_PAYLOAD)
        await source.scan()
        stored.pieces = [self.lines(2_001)]
        with pytest.raises(SourceError, match="the source changed"):
            await payloads(source, 2_000)

    async def test_what_is_refused_as_changed_is_not_what_reading_insists_on(self) -> None:
        stored = MemoryBytes([b"1\n2\n"])
        source = StreamedSource(stored, JsonLines, max_payload=MAX_PAYLOAD)
        known = await source.scan()
        stored.pieces = [b"3\n4\n"]
        assert not await source.is_unchanged(known)
        with pytest.raises(SourceError, match="the source changed"):
            await payloads(source)

    async def test_a_pass_costs_one_opening(self, stream: tuple[MemoryBytes, StreamedSource]) -> None:
        stored, source = stream
        before = stored.passes
        await payloads(source, 3)
        assert stored.passes == before + 1


@pytest.mark.parametrize("version", ["", "v1"])
async def test_what_is_proved_to_be_what_was_checked_is_not_validated_again(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    validated: list[bytes] = []
    monkeypatch.setattr(jsonlines, "_validate", validated.append)
    stream = MemoryBytes([b"1\n2\n", b"3"], version=version)
    source = StreamedSource(stream, JsonLines, max_payload=MAX_PAYLOAD)
    known = await source.scan()
    assert validated == [b"1", b"2", b"3"]
    assert await payloads(source) == [b"1", b"2", b"3"]
    assert len(validated) == 3
    unproved = StreamedSource(stream, JsonLines, max_payload=MAX_PAYLOAD)
    assert await payloads(unproved) == [b"1", b"2", b"3"]
    assert len(validated) == 6
    assert await unproved.is_unchanged(known)
    resumed = len(validated)
    assert await payloads(unproved, 1) == [b"2", b"3"]
    assert len(validated) == resumed


async def test_what_is_not_json_any_more_is_told_as_a_change() -> None:
    stream = MemoryBytes([b"1\n2\n"])
    source = StreamedSource(stream, JsonLines, max_payload=MAX_PAYLOAD)
    await source.scan()
    stream.pieces = [b"1\n{\n"]
    with pytest.raises(SourceError, match="the source changed"):
        await payloads(source)


class Endless:
    """A stream of so many megabytes, made as it is read."""

    name = "large"

    def __init__(self, header: bytes, line: bytes, megabytes: int) -> None:
        self._header = header
        self._block = line * (1_000_000 // len(line))
        self._megabytes = megabytes

    async def version(self) -> str:
        return ""

    @asynccontextmanager
    async def open(self, expected: str = "") -> AsyncIterator[OpenBytes]:
        yield OpenBytes("", self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield self._header
        for _ in range(self._megabytes):
            yield self._block


@pytest.mark.parametrize(
    ("parser", "header", "line"),
    [
        pytest.param(JsonLines, b"", b'{"text": "%s"}\n' % (b"x" * 80), id="JSON Lines"),
        pytest.param(CsvLines, b"id,name\n", b'1,"a ""%s"""\n' % (b"x" * 80), id="CSV"),
    ],
)
async def test_memory_stays_flat(parser: type[RecordParser], header: bytes, line: bytes) -> None:
    source = StreamedSource(Endless(header, line, 4), parser, max_payload=MAX_PAYLOAD)
    tracemalloc.start()
    try:
        count = (await source.scan()).count
        for start in (0, count // 2):
            async for _ in source.read(start):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count > 30_000
    assert peak < 2_000_000


async def test_other_tasks_of_the_loop_get_their_turn() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await source_of(JsonLines, b"1\n" * 500_000).scan()
    task.cancel()
    assert turns >= 1_000_000 // (16 * 1024)


async def test_a_reader_may_stop_early() -> None:
    async for chunk in source_of(JsonLines, b"1\n" * 5000).read(0):
        assert len(chunk) == 1000
        break
