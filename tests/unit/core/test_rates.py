"""A rate is the growth of a cumulative counter over the last seconds, whatever the counter does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrun_operator.core.rates import RateWindow


def test_a_steady_counter_has_its_rate_at_once_and_for_good() -> None:
    window = RateWindow(10)
    assert window.rate(0) is None
    for second in range(100):
        window.add(second, 600 + 7 * second)
        assert window.rate(second) == (None if second == 0 else pytest.approx(7))


def test_the_rate_forgets_what_is_older_than_the_window() -> None:
    window = RateWindow(10)
    for second in range(20):
        window.add(second, 50 * second)
    for second in range(20, 31):
        window.add(second, 950)
    assert window.rate(30) == 0


def test_between_far_readings_the_rate_is_their_average() -> None:
    window = RateWindow(10)
    window.add(0, 0)
    window.add(100, 500)
    assert window.rate(100) == pytest.approx(5)


def test_without_readings_for_a_window_there_is_no_rate() -> None:
    window = RateWindow(10)
    window.add(0, 0)
    window.add(1, 10)
    assert window.rate(11) == pytest.approx(10)
    assert window.rate(11.5) is None


def test_a_counter_that_goes_back_counts_on_from_there() -> None:
    window = RateWindow(10)
    for second, total in enumerate([100, 110, 5, 15]):
        window.add(second, total)
    assert window.rate(3) == pytest.approx(20 / 3)


def test_a_second_reading_at_the_same_time_replaces_the_first_and_an_older_one_is_not_used() -> None:
    window = RateWindow(10)
    window.add(0, 0)
    window.add(2, 10)
    window.add(2, 20)
    window.add(1, 1_000)
    assert window.rate(2) == pytest.approx(10)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_window_must_have_a_length(seconds: float) -> None:
    with pytest.raises(ValueError, match="above 0 s"):
        RateWindow(seconds)


@given(st.lists(st.tuples(st.floats(0.01, 30), st.integers(0, 10_000)), max_size=60))
def test_a_rate_is_never_negative_nor_above_the_steepest_step(steps: list[tuple[float, int]]) -> None:
    window, now = RateWindow(10), 0.0
    steepest, before = 0.0, 0
    window.add(0, 0)
    for elapsed, total in steps:
        now += elapsed
        steepest = max(steepest, (total - before) / elapsed)
        before = total
        window.add(now, total)
        rate = window.rate(now)
        assert rate is not None
        assert 0 <= rate <= steepest * (1 + 1e-9) + 1e-9
