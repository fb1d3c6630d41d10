"""Counts off the streams: right at rest, and never absurd when the reads behind them are not of one moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrun_operator.core.counts import Counts, count

_number = st.integers(0, 100)


def of(
    last_seq: int,
    messages: int,
    failed: int,
    kept: int | None = None,
    *,
    total: int = 10,
    waiting: int = 0,
    retrying: int = 0,
) -> Counts:
    return count(
        total=total,
        last_seq=last_seq,
        messages=messages,
        waiting=waiting,
        failed=failed,
        kept=kept,
        redeliveries=0,
        retrying=retrying,
    )


@pytest.mark.parametrize(
    ("counts", "outstanding", "succeeded", "failed"),
    [
        (of(10, 0, 3, retrying=1), 1, 7, 2),
        (of(10, 2, 3, retrying=3), 5, 5, 0),
        (of(10, 0, 3, kept=7, retrying=2), 2, 7, 1),
        (of(10, 0, 1, retrying=5), 1, 9, 0),  # what asks for a retry of no dead letter counts for nothing
    ],
)
def test_a_dead_letter_that_is_retried_is_outstanding(
    counts: Counts, outstanding: int, succeeded: int, failed: int
) -> None:
    assert (counts.outstanding, counts.succeeded, counts.failed) == (outstanding, succeeded, failed)
    assert (counts.finished, counts.lost) == (False, 0)


@pytest.mark.parametrize(
    ("counts", "succeeded", "ended", "lost", "finished"),
    [
        (of(0, 0, 0), 0, 0, 0, False),
        (of(6, 3, 1), 2, 3, 0, False),
        (of(10, 1, 1), 8, 9, 0, False),
        (of(10, 0, 2), 8, 10, 0, True),
        (of(6, 3, 5), 0, 5, 0, False),  # dead letters stored, and not yet acked
        (of(10, 0, 2, kept=8), 8, 10, 0, True),
        (of(10, 0, 2, kept=5), 5, 7, 3, True),
        (of(10, 3, 2, kept=4), 4, 6, 0, False),  # not at rest: one may still be on its way
        (of(6, 0, 1, kept=3), 3, 4, 2, False),
        (of(6, 2, 0, kept=6), 4, 4, 0, False),  # results of tasks that are not acked yet
    ],
)
def test_arithmetic(counts: Counts, succeeded: int, ended: int, lost: int, finished: bool) -> None:
    assert (counts.succeeded, counts.ended, counts.lost, counts.finished) == (
        succeeded,
        ended,
        lost,
        finished,
    )


def test_what_waits_is_outstanding() -> None:
    assert of(10, 3, 0, waiting=5).waiting == 3
    assert of(10, 5, 0, waiting=3).waiting == 3


@given(_number, _number, _number, st.none() | _number, _number, _number)
def test_whatever_is_read(
    last_seq: int, messages: int, failed: int, kept: int | None, waiting: int, retrying: int
) -> None:
    counts = of(last_seq, messages, failed, kept, total=100, waiting=waiting, retrying=retrying)
    assert min(counts.succeeded, counts.lost, counts.waiting) >= 0
    assert counts.waiting <= counts.outstanding
    assert counts.succeeded <= max(0, last_seq - messages)
    if messages:
        assert counts.lost == 0
    if kept is None:
        assert counts.lost == 0


@given(st.integers(1, 100), st.data())
def test_at_rest_all_is_accounted_for(total: int, data: st.DataObject) -> None:
    failed = data.draw(st.integers(0, total))
    counts = of(total, 0, failed, total=total)
    assert counts.finished
    assert counts.ended == total
    stored = data.draw(st.integers(0, total - failed))
    counts = of(total, 0, failed, stored, total=total)
    assert counts.ended + counts.lost == total
