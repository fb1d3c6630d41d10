"""Results in the order of index, page by page, whatever the order in which tasks ended."""

from __future__ import annotations

import random

import pytest

from jobrun_operator.errors import BrokerUnavailable
from jobrun_operator.jetstream.results import read_outcomes, result_line
from support.broker_bench import RUN, SOURCE, UID, outcome
from support.jetstream_bench import JetStreamBench


@pytest.fixture(autouse=True)
async def _run(real: JetStreamBench) -> None:
    await real.streams.provision(RUN, SOURCE)


async def _store(real: JetStreamBench, index: int, *, succeeded: bool, body: bytes | None = None) -> None:
    one = outcome(index, succeeded=succeeded)
    subject = (real.names.ok if succeeded else real.names.dead)(UID, index)
    await real.js.publish(subject, one.body if body is None else body, one.headers())


async def test_many_pages_in_order_with_gaps_and_dead_letters(real: JetStreamBench) -> None:
    total = 3210
    indexes = [index for index in range(total) if index % 7 and not 500 <= index < 1600]
    shuffled = indexes.copy()
    random.Random(1).shuffle(shuffled)
    for index in shuffled:
        await _store(real, index, succeeded=bool(index % 3))
    found = [one async for one in read_outcomes(real.js, real.names, UID, total)]
    assert [one.index for one in found] == indexes
    assert found[0] == outcome(1, succeeded=True)
    assert found[2] == outcome(3)
    assert all(one.succeeded is bool(one.index % 3) for one in found)
    assert all(one.body == b'{"n": %d}' % one.index for one in found)


@pytest.mark.parametrize("total", [0, 1, 5])
async def test_none(real: JetStreamBench, total: int) -> None:
    assert [one async for one in read_outcomes(real.js, real.names, UID, total)] == []


async def test_only_what_was_asked_for(real: JetStreamBench) -> None:
    for index in range(10):
        await _store(real, index, succeeded=True)
    assert [one.index async for one in read_outcomes(real.js, real.names, UID, 4)] == [0, 1, 2, 3]


async def test_a_page_larger_than_the_broker_sends_at_once(real: JetStreamBench) -> None:
    """The server ends an answer at about 64 MB, with what is still to come."""
    body = b'"' + b"x" * 900_000 + b'"'
    for index in reversed(range(90)):
        await _store(real, index, succeeded=True, body=body)
    found = [(one.index, len(one.body)) async for one in read_outcomes(real.js, real.names, UID, 90)]
    assert found == [(index, len(body)) for index in range(90)]


async def test_a_reader_that_stops_early_leaves_nothing_behind(real: JetStreamBench) -> None:
    for index in range(10):
        await _store(real, index, succeeded=True)
    outcomes = read_outcomes(real.js, real.names, UID, 10)
    assert (await anext(outcomes)).index == 0
    await outcomes.aclose()  # type: ignore[attr-defined]
    assert len(real.js.client._subs) <= 1  # the client's own inbox


async def test_outcomes_that_are_gone(real: JetStreamBench) -> None:
    await real.lose_outcomes(UID)
    with pytest.raises(BrokerUnavailable):
        _ = [one async for one in read_outcomes(real.js, real.names, UID, 1)]


def test_a_line_of_a_success() -> None:
    assert result_line(outcome(7, succeeded=True, attempts=2)) == {
        "index": 7,
        "outcome": "Succeeded",
        "output": {"n": 7},
        "error": None,
        "attempts": 2,
        "worker": "w-1",
        "releasedAt": "2026-01-01T00:00:00.000000Z",
        "startedAt": "2026-01-01T00:00:01.000000Z",
        "finishedAt": "2026-01-01T00:00:02.000000Z",
    }


def test_a_line_of_a_failure() -> None:
    line = result_line(outcome(7, error="no\n“such”"))
    assert (line["outcome"], line["output"], line["error"]) == ("Failed", None, "no\n“such”")
