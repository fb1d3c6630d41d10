"""CSV: what is a task, what is refused and in which words, at any boundaries of the pieces."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrun_operator.errors import SourceError
from jobrun_operator.tasks.csvlines import CsvLines
from jobrun_operator.tasks.streamed import StreamedSource
from support.byte_streams import cut, payloads, source_of

CUTS = st.lists(st.integers(min_value=0, max_value=10_000), max_size=8)
CELLS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from('",\n\r %')
)


def ids(*pieces: bytes, max_payload: int = 983_040) -> StreamedSource:
    return source_of(CsvLines, *pieces, max_payload=max_payload, name="ids.csv")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"id,name\n1,a\n2,b\n", ['{"id":"1","name":"a"}', '{"id":"2","name":"b"}'], id="rows"),
        pytest.param(b"id\r\n1\r\n2", ['{"id":"1"}', '{"id":"2"}'], id="CRLF, no newline at the end"),
        pytest.param(b"id\n1\r", ['{"id":"1"}'], id="CR at the end"),
        pytest.param(b"\xef\xbb\xbfid\n1\n", ['{"id":"1"}'], id="byte-order mark"),
        pytest.param(b'\xef\xbb\xbf"id"\n1\n', ['{"id":"1"}'], id="byte-order mark and quotes"),
        pytest.param(b"\n\r\nid\n\n1\n\r\n2\n\n", ['{"id":"1"}', '{"id":"2"}'], id="empty lines"),
        pytest.param(b'a,b\n"x,y","p""q"\n', ['{"a":"x,y","b":"p\\"q"}'], id="quoted"),
        pytest.param(b'a,b\n"x\ny",1\r\n"",""\n', ['{"a":"x\\ny","b":"1"}', '{"a":"","b":""}'], id="newline"),
        pytest.param(b'a\n"x\r\ny"\n', ['{"a":"x\\r\\ny"}'], id="CRLF inside"),
        pytest.param(b'a\n""""\n"""x"\n', ['{"a":"\\""}', '{"a":"\\"x"}'], id="quotes inside"),
        pytest.param(b'a\n"x"\r', ['{"a":"x"}'], id="quotes, CR at the end"),
        pytest.param(b'"a\nb",c\n1,2\n', ['{"a\\nb":"1","c":"2"}'], id="newline in the header"),
        pytest.param(b"a,b\n 1 ,\n", ['{"a":" 1 ","b":""}'], id="spaces are kept"),
        pytest.param(b"a\n \n", ['{"a":" "}'], id="a line of spaces is a row"),
        pytest.param("name\nJosé 😀\n".encode(), ['{"name":"José 😀"}'], id="non-ASCII is kept"),
        pytest.param(b'50%,%s\n1,"%d"\n', ['{"50%":"1","%s":"%d"}'], id="percent signs"),
        pytest.param(b"a\nNULL\n1.0\n", ['{"a":"NULL"}', '{"a":"1.0"}'], id="strings only"),
        pytest.param(b"a\n" + b"x" * 200_000, ['{"a":"' + "x" * 200_000 + '"}'], id="a large field"),
    ],
)
@pytest.mark.parametrize("step", [1, 5, 1_000_000])
async def test_tasks(data: bytes, expected: list[str], step: int) -> None:
    if step == 1 and len(data) > 1000:
        step = 999
    source = ids(*(data[i : i + step] for i in range(0, len(data), step)))
    assert (await source.scan()).count == len(expected)
    assert await payloads(source) == [text.encode() for text in expected]


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"a,b\n1,2\n3\n", 3, "the row has 1 field and the header has 2: 3"),
        (b"a,b\n1,2,3\n", 2, "the row has 3 fields"),
        (b'a,b\n"x\ny\nz",1\n\n"p\nq"\n', 6, "the row has 1 field"),
        (b"id;name\n1;a\n", 1, "the fields of a row are separated by commas, not by ;"),
        (b"id\tname\n1\ta\n", 1, "the fields of a row are separated by commas, not by a tab"),
        (b'"id;name"\n1\n', 1, "separated by commas"),
        (b"a,b,a\n1,2,3\n", 1, "has the name a twice"),
        (b"a,,b\n1,2,3\n", 1, "the name of column 2 in the header is empty"),
        (b"\na,\n", 2, "the name of column 2"),
        (b'"', 1, "a quote is opened in the row that starts here, and never closed"),
        (b'a\n1\n"x\ny\n', 3, "a quote is opened in the row that starts here, and never closed"),
        (b'a\nx"y\n1\n2"z\n', 2, "a quote is in the wrong place"),
        (b'a\n1\nx"y"z\n', 3, 'a quote is in the wrong place.*: x"y"z'),
        (b'a\n1\n"x"y\n"\n"\n', 3, "a quote is in the wrong place"),
        (b'a\n1\n"x" \n', 3, "a quote is in the wrong place"),
        (b'a,b\n1, "x"\n', 2, "a quote is in the wrong place"),
        (b'a"b,c\n1,2\n"\n', 1, "a quote is in the wrong place"),
        (b"a\n1\n2\r3\n", 3, "a carriage return"),
        (b"a\n1\n2\0\n", 3, "a NUL byte"),
        (b'a\n"1\n2\0"\n', 2, "a NUL byte"),
        (b"a\n1\n\xe9t\xe9\n", 3, r"not valid UTF-8.*: \\xe9t\\xe9"),
        (b"a\n1\n\xed\xa0\x80\n", 3, "not valid UTF-8"),
    ],
)
@pytest.mark.parametrize("step", [1, 5, 1_000_000])
async def test_refused(data: bytes, line: int, reason: str, step: int) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        await ids(*(data[i : i + step] for i in range(0, len(data), step))).scan()
    assert caught.value.where == f"ids.csv line {line}"


@pytest.mark.parametrize("data", [b"", b"\n\r\n", b"id,name\n", b"id,name", b"id\n\n"])
async def test_no_task_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError, match=r"^ids\.csv: there is no task in it"):
        await ids(data).scan()


async def test_utf16_is_told() -> None:
    with pytest.raises(SourceError, match="UTF-16 text; save it as UTF-8"):
        await ids("id\n1\n".encode("utf-16")).scan()


async def test_the_largest_payload() -> None:
    fits = b"a\n" + b"x" * 92 + b"\n"  # {"a":"..."} is 8 bytes longer
    assert len((await payloads(ids(fits, max_payload=100)))[0]) == 100
    with pytest.raises(
        SourceError, match=r"line 3: a task may have at most 100 bytes, and this one has 101; .*: xxx"
    ):
        await ids(b"a\n1\n" + b"x" * 93, max_payload=100).scan()


@pytest.mark.parametrize(
    ("begin", "piece", "reason"),
    [
        (b"", b"x" * 1000, "a task may have at most 100,000 bytes, and this one has at least 101,000"),
        (
            b'"',
            b"x" * 1000,
            "a quote is opened in the row that starts here, and not closed within 100,000 bytes",
        ),
        (b'5"', b"x,1\n" * 250, "a quote is opened in the row that starts here, and not closed within"),
    ],
)
async def test_a_row_without_an_end_is_not_kept_whole(begin: bytes, piece: bytes, reason: str) -> None:
    parser = CsvLines("ids.csv", 100_000)
    parser.feed(b"a\n1\n" + begin)
    with pytest.raises(SourceError, match=rf"ids\.csv line 3: {reason}"):
        deque(map(parser.feed, repeat(piece, 1_000_000)), maxlen=0)


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1), st.sampled_from(["\n", "\r\n"]), CUTS)
async def test_what_is_written_is_read(rows: list[list[str]], end: str, cuts: list[int]) -> None:
    if end == "\n":  # Python 3.11 writes a carriage return without quotes then, which RFC 4180 does not allow
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows([["a", "b%", "ü"], *rows])
    source = ids(*cut(text.getvalue().encode(), cuts))
    assert (await source.scan()).count == len(rows)
    found = [json.loads(payload) for payload in await payloads(source)]
    assert found == [dict(zip(["a", "b%", "ü"], row, strict=True)) for row in rows]


@given(st.text('ab,"\n\r\0é', max_size=60), CUTS)
async def test_boundaries_of_pieces_change_nothing(text: str, cuts: list[int]) -> None:
    data = b"a,b\n" + text.encode()
    assert await result(data) == await result(*cut(data, cuts))


async def result(*pieces: bytes) -> list[bytes] | str:
    try:
        return await payloads(ids(*pieces))
    except SourceError as error:
        return error.where


@given(
    st.lists(st.sampled_from(["1,2", '"x\ny",3', "", "\r", '"",""', " ,"]), max_size=40),
    CUTS,
    st.integers(0, 45),
)
async def test_reading_from_any_index(lines: list[str], cuts: list[int], start: int) -> None:
    data = "\n".join(["a,b", *lines]).encode()
    expected = await payloads(ids(data))
    assert len(expected) == len([line for line in lines if line.strip("\r")])
    assert await payloads(ids(*cut(data, cuts)), start) == expected[start:]


async def test_fields_may_be_as_large_as_a_task() -> None:
    csv.field_size_limit(2**31 - 1)
    assert len((await payloads(ids(b'a\n"' + b'""' * 100_000 + b'"\n')))[0]) == 200_008
