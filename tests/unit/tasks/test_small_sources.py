"""The sources without a stream of bytes: a count, and items of the manifest."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from typing import Any

import pytest

from jobrun_operator.engine.ports import SourceSummary
from jobrun_operator.errors import SourceError
from jobrun_operator.tasks.counted import CountedSource
from jobrun_operator.tasks.inline import InlineSource
from support.byte_streams import chunks, payloads


class TestCounted:
    async def test_payloads_are_numbered(self) -> None:
        source = CountedSource(2001)
        found = await chunks(source)
        assert [len(chunk) for chunk in found] == [1000, 1000, 1]
        assert [json.loads(payload) for chunk in found for payload in chunk] == [
            {"index": i} for i in range(2001)
        ]
        assert found[0][0] == b'{"index": 0}'

    @pytest.mark.parametrize("start", [0, 1, 999, 1000, 1999, 2000, 2001, 5000])
    async def test_reading_from_any_index(self, start: int) -> None:
        found = await payloads(CountedSource(2001), start)
        assert found == [b'{"index": %d}' % i for i in range(start, 2001)]

    async def test_a_billion_costs_nothing(self) -> None:
        source = CountedSource(1_000_000_000)
        digest = hashlib.sha256(b"count:1000000000").hexdigest()
        assert await source.scan() == SourceSummary(1_000_000_000, f"sha256:{digest}")
        assert await payloads(source, 999_999_999) == [b'{"index": 999999999}']

    async def test_unchanged(self) -> None:
        known = await CountedSource(5).scan()
        assert await CountedSource(5).is_unchanged(known)
        assert not await CountedSource(6).is_unchanged(known)


def inline(*items: dict[str, Any], max_payload: int = 1000) -> InlineSource:
    return InlineSource(items, max_payload=max_payload)


class TestInline:
    async def test_payloads_are_compact_and_keep_order_and_letters(self) -> None:
        assert await payloads(inline({"b": 1, "a": [1, {"x": None}]}, {"name": "José 😀"})) == [
            b'{"b":1,"a":[1,{"x":null}]}',
            '{"name":"José 😀"}'.encode(),
        ]

    async def test_reading_from_any_index(self) -> None:
        items = [{"i": i} for i in range(1000)]
        for start in (0, 1, 999, 1000):
            assert await payloads(inline(*items), start) == [b'{"i":%d}' % i for i in range(start, 1000)]

    async def test_unchanged(self) -> None:
        known = await inline({"a": 1}, {"b": 2}).scan()
        assert known.count == 2
        assert await inline({"a": 1}, {"b": 2}).is_unchanged(known)
        assert not await inline({"b": 2}, {"a": 1}).is_unchanged(known)
        assert not await inline({"a": 1}).is_unchanged(known)

    @pytest.mark.parametrize(
        ("item", "reason"),
        [
            ({"a": float("nan")}, "can't be written as JSON"),
            ({"a": date(2026, 1, 1)}, "can't be written as JSON"),
            ({"a": "\ud800"}, "can't be written as JSON"),
            ({"a": "x" * 1000}, "at most 1,000 bytes, and this one has 1,008"),
        ],
    )
    async def test_refused_with_its_place(self, item: dict[str, Any], reason: str) -> None:
        with pytest.raises(SourceError, match=reason) as caught:
            await inline({"ok": 1}, item).scan()
        assert caught.value.where == "spec.tasks.items[1]"

    async def test_no_task(self) -> None:
        with pytest.raises(SourceError, match=r"spec\.tasks\.items: there is no task in it"):
            await inline().scan()
