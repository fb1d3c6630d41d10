"""JSON Lines: what is a task, what is refused and in which words, at any boundaries of the pieces."""

from __future__ import annotations

import json
from collections import deque
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrun_operator.errors import SourceError
from jobrun_operator.tasks.jsonlines import JsonLines
from support.byte_streams import cut, payloads, source_of

UTF8 = st.characters(exclude_categories=["Cs"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(UTF8)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(UTF8), inner), max_leaves=8
)
CUTS = st.lists(st.integers(min_value=0, max_value=10_000), max_size=8)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b'{"a": 1}\n{"a": 2}\n', [b'{"a": 1}', b'{"a": 2}'], id="lines"),
        pytest.param(b"1\n2", [b"1", b"2"], id="no newline at the end"),
        pytest.param(b"1\r\n2\r\n", [b"1", b"2"], id="CRLF"),
        pytest.param(b"1\r\n2\r", [b"1", b"2"], id="CR at the end"),
        pytest.param(b"\xef\xbb\xbf1\n", [b"1"], id="byte-order mark"),
        pytest.param(b"\n1\n\n \t\n2\n\n", [b"1", b"2"], id="blank lines"),
        pytest.param(b' \t{"a": 1} \t\n', [b'{"a": 1}'], id="whitespace around"),
        pytest.param(b'{"b": 1,  "a":2}\n', [b'{"b": 1,  "a":2}'], id="bytes are kept"),
        pytest.param(b"1" * 4000 + b"\n", [b"1" * 4000], id="large integer"),
        pytest.param(b"1e400\n-0\n1.0E+2\n", [b"1e400", b"-0", b"1.0E+2"], id="numbers as written"),
        pytest.param(b'{"a":1,"a":2}\n', [b'{"a":1,"a":2}'], id="duplicate keys"),
        pytest.param('"\u2028 ü 😀"\n'.encode(), ['"\u2028 ü 😀"'.encode()], id="no other ends of lines"),
        pytest.param(b'null\ntrue\n"x"\n[]\n', [b"null", b"true", b'"x"', b"[]"], id="any value"),
        pytest.param(b"[" * 200 + b"]" * 200, [b"[" * 200 + b"]" * 200], id="deep"),
    ],
)
async def test_tasks(data: bytes, expected: list[bytes]) -> None:
    source = source_of(JsonLines, data)
    assert (await source.scan()).count == len(expected)
    assert await payloads(source) == expected


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b'1\n{"a": }\n', 2, r'not a JSON value \(expected value at column 7\).*: \{"a": \}'),
        (b"NaN\n", 1, "expected value"),
        (b"[Infinity]\n", 1, "expected value"),
        (b"-Infinity\n", 1, "invalid number"),
        (b'"\xff"\n', 1, r'invalid unicode.*: "\\xff"'),
        (b'"\\ud800"\n', 1, "hex escape"),
        (b"1 2\n", 1, "trailing characters"),
        (b"{'a': 1}\n", 1, "key must be a string"),
        (b"[1,]\n", 1, "trailing comma"),
        (b'"a\tb"\n', 1, r'control character.*: "a\\tb"'),
        (b"\n\r\n1\n01\n", 4, "invalid number"),
        (b"1\n\xef\xbb\xbf2\n", 2, "expected value"),
        pytest.param(b"[" * 20_000 + b"\n", 1, r"recursion limit.*: \[{60}…$", id="too deep"),
        pytest.param(b"1" * 5000 + b"\n", 1, "number out of range", id="too many digits"),
        (b"[\n 1\n]\n", 1, "each line must be a whole one"),
        (b"1\x0b\n", 1, "trailing characters"),
        (b"\xc2\xa01\n", 1, r": \\xa01"),
        (b"1\n2", 0, None),
        (b"1\n\0\n", 2, r": \\x00"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1_000_000])
async def test_refused(data: bytes, line: int, reason: str | None, step: int) -> None:
    source = source_of(JsonLines, *(data[i : i + step] for i in range(0, len(data), step)))
    if reason is None:
        assert (await source.scan()).count == 2
        return
    with pytest.raises(SourceError, match=reason) as caught:
        await source.scan()
    assert caught.value.where == f"tasks.jsonl line {line}"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('"x"\n'.encode("utf-16"), "UTF-16 text; save it as UTF-8"),
        (b"\x1f\x8b\x08\x00", "compressed with gzip"),
        (b"PK\x03\x04", "zip or spreadsheet"),
    ],
)
async def test_other_files_are_told_by_their_beginning(data: bytes, reason: str) -> None:
    for pieces in ([data], cut(data, [1, 2])):
        with pytest.raises(SourceError, match=f"^tasks.jsonl: is.*{reason}"):
            await source_of(JsonLines, *pieces).scan()


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\n", b"\xef\xbb\xbf", b"\xef\xbb"[:0]])
async def test_no_task_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError, match=r"^tasks\.jsonl: there is no task in it"):
        await source_of(JsonLines, data).scan()


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
async def test_the_largest_payload(end: bytes) -> None:
    fits = b'"' + b"x" * 98 + b'"'
    for pieces in ([fits + end], list(map(bytes, zip(fits + end, strict=True)))):
        assert await payloads(source_of(JsonLines, *pieces, max_payload=100)) == [fits]
        with pytest.raises(SourceError, match=r"line 2: a task may have at most 100 bytes, and this one has"):
            await source_of(JsonLines, b"1\n1", *pieces, max_payload=100).scan()


async def test_both_sizes_are_told() -> None:
    with pytest.raises(SourceError, match=r'at most 100 bytes, and this one has 1,002; .*: "xxx'):
        await source_of(JsonLines, b'"' + b"x" * 1000 + b'"\n', max_payload=100).scan()


async def test_a_line_without_an_end_is_not_kept_whole() -> None:
    parser = JsonLines("tasks.jsonl", 10_000)
    with pytest.raises(SourceError, match=r"line 1: .* at least 11,000"):
        deque(map(parser.feed, repeat(b"x" * 1000, 1_000_000)), maxlen=0)


async def test_a_bad_line_counts_before_a_later_too_long_one() -> None:
    with pytest.raises(SourceError, match="line 1: not a JSON value"):
        await source_of(JsonLines, b"oops\n" + b"x" * 1000, max_payload=100).scan()


@given(st.lists(VALUES, min_size=1), st.sampled_from(["\n", "\r\n"]), st.booleans(), CUTS)
async def test_what_is_written_is_read(
    values: list[object], end: str, last_end: bool, cuts: list[int]
) -> None:
    text = end.join(json.dumps(value, ensure_ascii=False) for value in values) + end * last_end
    source = source_of(JsonLines, *cut(text.encode(), cuts))
    assert (await source.scan()).count == len(values)
    assert [json.loads(payload) for payload in await payloads(source)] == values


@given(st.lists(st.sampled_from([b"1", b"{}", b"", b" ", b"\r", b'"\xc3\xbc"', b"oops", b"[", b" 2 "])), CUTS)
async def test_boundaries_of_pieces_change_nothing(lines: list[bytes], cuts: list[int]) -> None:
    data = b"\n".join(lines)
    assert await result(data) == await result(*cut(data, cuts))


async def result(*pieces: bytes) -> list[bytes] | str:
    try:
        return await payloads(source_of(JsonLines, *pieces))
    except SourceError as error:
        return str(error)


@given(st.lists(st.sampled_from([b"1", b"22", b"", b" 3", b"\r"]), max_size=40), CUTS, st.integers(0, 45))
async def test_reading_from_any_index(lines: list[bytes], cuts: list[int], start: int) -> None:
    data = b"\n".join(lines)
    expected = [stripped for line in lines if (stripped := line.strip())]
    assert await payloads(source_of(JsonLines, *cut(data, cuts)), start) == expected[start:]


async def test_what_is_skipped_is_not_validated_again() -> None:
    source = source_of(JsonLines, b"oops\noops\n3\n")
    assert await payloads(source, 2) == [b"3"]
    with pytest.raises(SourceError, match="line 2"):
        await payloads(source, 1)
