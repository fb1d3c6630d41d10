"""What may be released now, decision by decision. The law over whole runs is ``test_pacing_law``."""

from __future__ import annotations

import pytest

from jobrun_operator.api import LimitedBy
from jobrun_operator.core.pacing import (
    MAX_BATCH,
    Bucket,
    Limits,
    Rate,
    Stock,
    after_hold,
    decide,
    first_look_for_room,
    permits,
    room,
)

TEN = Rate(10.0, 10.0)


def _limits(
    rate: Rate | None = TEN, *, total: int = 1000, waiting: int = 100, outstanding: int = 500
) -> Limits:
    return Limits(total, rate, waiting, outstanding)


@pytest.mark.parametrize(
    ("stock", "limited_by"),
    [
        (Stock(1000, 0, 0), LimitedBy.ALL_RELEASED),
        (Stock(1001, 0, 0), LimitedBy.ALL_RELEASED),
        (Stock(1000, 100, 500), LimitedBy.ALL_RELEASED),
        (Stock(500, 100, 100), LimitedBy.WAITING),
        (Stock(500, 101, 101), LimitedBy.WAITING),
        (Stock(600, 0, 500), LimitedBy.OUTSTANDING),
        (Stock(600, 100, 500), LimitedBy.OUTSTANDING),
    ],
)
@pytest.mark.parametrize("rate", [TEN, None])
def test_what_holds_it(stock: Stock, limited_by: LimitedBy, rate: Rate | None) -> None:
    release = decide(_limits(rate), stock, Bucket(10, 0), 0.0)
    assert (release.count, release.limited_by) == (0, limited_by)


@pytest.mark.parametrize(
    ("rate", "level", "wait"),
    [
        (None, 0.0, 0.0),
        (TEN, 10.0, 0.0),
        (TEN, 0.75, 0.025),
        (TEN, -5.0, 0.6),
        (Rate(1000, 1000), 5.0, 0.015),
    ],
)
def test_without_room_it_says_when_the_rate_would_allow_something(
    rate: Rate | None, level: float, wait: float
) -> None:
    release = decide(_limits(rate), Stock(500, 100, 100), Bucket(level, 3.0), 3.0)
    assert (release.count, release.wait) == (0, pytest.approx(wait))


def test_room_is_looked_for_shortly_before_it_is_of_use() -> None:
    assert first_look_for_room(10.0, due=11.0) == 10.75
    assert first_look_for_room(10.0, due=10.0) == 10.0


@pytest.mark.parametrize(
    ("level", "at", "now", "count", "wait"),
    [
        (0, 0, 0, 0, 0.1),
        (0, 0, 0.05, 0, 0.05),
        (0, 0, 0.1, 1, None),
        (0, 0, 0.55, 5, None),
        (0, 0, 1, 10, None),
        (0, 0, 1e6, 10, None),
        (-5, 0, 0, 0, 0.6),
        (-5, 0, 0.6, 1, None),
        (3.7, 5, 4, 3, None),  # a clock that goes back earns nothing
    ],
)
def test_what_the_bucket_allows(level: float, at: float, now: float, count: int, wait: float | None) -> None:
    release = decide(_limits(), Stock(0, 0, 0), Bucket(level, at), now)
    assert (release.count, release.limited_by) == (count, LimitedBy.RATE)
    assert release.wait == (None if wait is None else pytest.approx(wait))


@pytest.mark.parametrize(
    ("limits", "stock", "count"),
    [
        (_limits(), Stock(997, 0, 0), 3),  # what is left
        (_limits(), Stock(500, 96, 96), 4),  # room to wait
        (_limits(), Stock(600, 0, 495), 5),  # room to be outstanding
        (_limits(Rate(1e5, 1e5), total=10**6, waiting=10**6, outstanding=10**6), Stock(0, 0, 0), MAX_BATCH),
        (_limits(None, total=10**6, waiting=10**6, outstanding=10**6), Stock(0, 0, 0), MAX_BATCH),
        (_limits(None), Stock(0, 0, 0), 100),
    ],
)
def test_a_batch_is_what_everything_allows(limits: Limits, stock: Stock, count: int) -> None:
    level = limits.rate.burst if limits.rate else 0.0
    assert decide(limits, stock, Bucket(level, 0), 0.0).count == count


@pytest.mark.parametrize(
    ("outstanding", "limited_by"), [(50, LimitedBy.OUTSTANDING), (100, LimitedBy.WAITING)]
)
def test_without_a_rate_the_nearer_bound_is_named(outstanding: int, limited_by: LimitedBy) -> None:
    assert (
        decide(_limits(None, outstanding=outstanding), Stock(0, 0, 0), Bucket(0, 0), 0.0).limited_by
        == limited_by
    )


@pytest.mark.parametrize(
    ("rate", "gathered"),
    [(Rate(1000, 1000), 20), (Rate(1000, 10), 5), (Rate(1000, 1), 1), (Rate(1, 1), 1), (Rate(0.01, 1), 1)],
)
def test_a_tick_of_tasks_is_gathered_where_the_burst_allows_it(rate: Rate, gathered: int) -> None:
    limits = _limits(rate)
    short = decide(limits, Stock(0, 0, 0), Bucket(gathered - 0.5, 0), 0.0)
    assert short.count == 0
    assert short.wait == pytest.approx(0.5 / rate.per_second)
    assert decide(limits, Stock(0, 0, 0), Bucket(gathered, 0), 0.0).count == gathered


def test_where_there_is_room_for_less_than_a_tick_that_is_released() -> None:
    release = decide(_limits(Rate(1000, 1000)), Stock(500, 99, 99), Bucket(1.5, 0), 0.0)
    assert (release.count, release.limited_by) == (1, LimitedBy.RATE)


def test_the_bucket_is_empty_at_first_and_fills_to_the_burst() -> None:
    bucket = Bucket.empty(5.0)
    assert bucket.refilled(TEN, 5.0).level == 0
    assert bucket.refilled(TEN, 5.5).level == pytest.approx(5)
    assert bucket.refilled(TEN, 99.0).level == 10
    assert bucket.refilled(TEN, 99.0).charged(25).level == -15


@pytest.mark.parametrize(
    ("waiting", "outstanding", "left"), [(0, 0, 100), (100, 100, 0), (40, 480, 20), (150, 150, -50)]
)
def test_room(waiting: int, outstanding: int, left: int) -> None:
    assert room(_limits(), Stock(0, waiting, outstanding)) == left


@pytest.mark.parametrize(
    ("rate", "held", "level"),
    [
        (TEN, 0.5, 5.0),  # normal work: kept
        (TEN, 0.99, 9.9),
        (TEN, 1.0, -10.0),  # filled anyhow: what waited is charged once more
        (TEN, 3600.0, -10.0),
        (Rate(1 / 60, 1), 5.0, 5 / 60),  # a worker that starts in 5 s is no outage of a run of one a minute
        (Rate(1 / 60, 1), 60.0, -19.0),
        (Rate(10, 100), 9.0, 90.0),
        (Rate(10, 100), 10.0, 80.0),
    ],
)
def test_after_a_hold(rate: Rate, held: float, level: float) -> None:
    bucket = after_hold(Bucket(0.0, 100.0), rate, 20, 100.0, 100.0 + held)
    assert bucket.refilled(rate, 100.0 + held).level == pytest.approx(level)


@pytest.mark.parametrize(
    ("level", "most", "expected"), [(0.0, 5, 0), (0.99, 5, 0), (3.2, 5, 3), (7.0, 5, 5), (-2.0, 5, 0)]
)
def test_retries_are_permitted_by_a_bucket_of_their_own(level: float, most: int, expected: int) -> None:
    count, bucket = permits(Rate(10.0, 10.0), Bucket(level, 1.0), most, 1.0)
    assert (count, bucket) == (expected, Bucket(level - expected, 1.0))


def test_without_a_rate_retries_are_as_many_as_may_be() -> None:
    assert permits(None, Bucket.empty(0.0), 7, 9.0) == (7, Bucket.empty(0.0))
