"""Whatever is in a file of tasks, cut in whatever way: as many JSON payloads as were counted, or the wrong line."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.examples import examples
from jobrun_operator.errors import JobRunError, SourceError
from jobrun_operator.tasks.csvlines import CsvLines
from jobrun_operator.tasks.jsonlines import JsonLines
from jobrun_operator.tasks.records import RecordParser
from jobrun_operator.tasks.streamed import StreamedSource
from support.byte_streams import MemoryBytes, cut

_MOST = 2_000
# fmt: off
_JSON = st.sampled_from([
    b'{"a":1}\n', b"[1]\n", b'"x"\r\n', b"null", b"\n", b"{", b"}", b'"\\ud800"\n', b"NaN\n",
    b"1e999\n", b"\xef\xbb\xbf", b"[" * 3000, b'{"a":1,"a":2}\n', b"\x00", b"\xff", b"\r",
    b"9" * 5000, b"\xe2\x80\xa8", b" " * 3000, b"-0\n",
])
# fmt: on
# fmt: off
_CSV = st.sampled_from([
    b"id,name\n", b"1,x\n", b'"a ""q"""\n', b'"', b",", b"\r\n", b"\r", b"\n", b"\xef\xbb\xbf",
    b"\x00", b"\xff", b"id,id\n", b'"open', b"x" * 3000, b",,,\n", b" \n", b'a"b,c\n',
    "ü,€\n".encode(), b"\x1f\x8b",
])
# fmt: on


async def _read(kind: type[RecordParser], pieces: list[bytes], name: str) -> None:
    source = StreamedSource(MemoryBytes(pieces, name=name), kind, max_payload=_MOST)
    async with asyncio.timeout(60):
        try:
            summary = await source.scan()
        except SourceError as error:
            where = error.where
            str(error).encode()
            summary = None
        if summary is None:
            assert name in where
            return
        payloads = [payload async for chunk in source.read(0) for payload in chunk]
        assert len(payloads) == summary.count
        assert all(len(payload) <= _MOST for payload in payloads)
        for payload in payloads:
            json.loads(payload, parse_constant=pytest.fail)
        later = [payload async for chunk in source.read(summary.count // 2) for payload in chunk]
        assert later == payloads[summary.count // 2 :]
        assert await source.is_unchanged(summary)


@pytest.mark.parametrize(("kind", "pieces"), [(JsonLines, _JSON), (CsvLines, _CSV)], ids=["jsonlines", "csv"])
def test_any_bytes(kind: type[RecordParser], pieces: st.SearchStrategy[bytes]) -> None:
    @examples(80)
    @given(st.lists(pieces | st.binary(max_size=20), max_size=12), st.lists(st.integers(0), max_size=4))
    def read(parts: list[bytes], places: list[int]) -> None:
        asyncio.run(_read(kind, cut(b"".join(parts), places), "tasks.x"))

    read()


@examples(40)
@given(st.lists(_JSON, max_size=9), st.integers(0), st.binary(max_size=3))
@example([b'{"a":1}\n'], 10, b"")
def test_damaged_gzip(parts: list[bytes], place: int, damage: bytes) -> None:
    packed: Any = gzip.compress(b"".join(parts), mtime=0)
    at = place % len(packed)
    try:
        asyncio.run(_read(JsonLines, [packed[:at], damage, packed[at + len(damage) :]], "tasks.jsonl.gz"))
    except JobRunError as error:
        str(error).encode()
