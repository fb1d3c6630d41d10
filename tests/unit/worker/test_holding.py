"""The record of a hold: raised, never lowered, an hour at most, and read by whoever asks the broker for the time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrun_worker.holding import MOST_SECONDS, HoldRecord, Wish, nanoseconds, raised

NOW = nanoseconds("2026-01-01T00:00:00Z")
SECOND = 1_000_000_000


def test_what_is_written_is_read() -> None:
    record = HoldRecord(NOW + 5 * SECOND, "Throttled", "429, ü")
    assert HoldRecord.decode(record.encode()) == record
    assert record.left(NOW) == 5.0
    assert record.left(NOW + 6 * SECOND) == 0.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"nonsense",
        b'{"holdUntil": 5, "why": "x"}',
        b'{"holdUntil": "tomorrow", "why": "x"}',
        b'{"holdUntil": "2026-01-01T00:00:00", "why": "x"}',
        b'{"holdUntil": "2026-01-01T00:00:00Z"}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_hold_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each says it in its own words
        HoldRecord.decode(body)


@pytest.mark.parametrize(
    ("known", "seconds", "left"),
    [
        (None, 5.0, 5.0),
        (5.0, 4.0, None),
        (5.0, 5.0, None),
        (5.0, 6.0, 6.0),
        (-5.0, 1.0, 1.0),
        (None, 1e9, MOST_SECONDS),
        (MOST_SECONDS, 1e9, None),
    ],
)
def test_a_hold_is_raised_and_never_lowered(known: float | None, seconds: float, left: float | None) -> None:
    before = None if known is None else HoldRecord(NOW + round(known * SECOND), "Throttled")
    new = raised(before, NOW, seconds, Wish("Throttled", ""))
    assert (None if new is None else new.left(NOW)) == left


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1e6, 1e6)), max_size=20))
def test_no_order_of_raises_ever_shortens_a_hold(steps: list[tuple[float, float]]) -> None:
    now, known = NOW, None
    for wait, seconds in steps:
        now += round(wait * SECOND)
        new = raised(known, now, seconds, Wish("Throttled", ""))
        if new is not None:
            assert known is None or new.until_ns > known.until_ns
            assert new.until_ns - now <= MOST_SECONDS * SECOND
            known = HoldRecord.decode(new.encode())


def test_a_record_from_a_broken_clock_holds_for_an_hour_at_most() -> None:
    assert HoldRecord(NOW + 10**6 * SECOND, "Throttled").left(NOW) == MOST_SECONDS
