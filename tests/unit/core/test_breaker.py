"""When a circuit breaker trips, and when it does not, by what the workers tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrun_operator.core.breaker import Breaker, BreakerSettings, after
from jobrun_worker.wire import Pulse

SETTINGS = BreakerSettings(
    consecutive_failures=20, failure_percent=80, window_seconds=30.0, minimum_attempts=20
)


def told(*pulses: tuple[float, int, int, int], settings: BreakerSettings = SETTINGS) -> list[str]:
    """What each of ``pulses`` (time, succeeded, failed, tail) leads to."""
    breaker, found = Breaker(), []
    for at, succeeded, failed, tail in pulses:
        breaker, why = after(breaker, Pulse(succeeded, failed, tail), settings, at)
        found.append(why)
    return found


@pytest.mark.parametrize(
    ("pulses", "expected"),
    [
        ([(0, 0, 19, 19)], [""]),
        ([(0, 0, 19, 19), (1, 0, 1, 1)], ["", "20 attempts in a row failed"]),
        ([(0, 0, 19, 19), (1, 10, 1, 1), (2, 0, 18, 18)], ["", "", ""]),  # a success ends the row
        ([(0, 0, 19, 19), (1, 1, 0, 0)], ["", "19 of 20 attempts failed in 30 s"]),
        ([(0, 10, 19, 19), (1, 0, 1, 1)], ["", "20 attempts in a row failed"]),  # those at the end of a pulse
        ([(0, 1, 19, 0), (500, 0, 19, 19)], ["19 of 20 attempts failed in 30 s", ""]),
        ([(0, 5, 20, 0)], ["20 of 25 attempts failed in 30 s"]),
        ([(0, 6, 20, 0)], [""]),
        ([(0, 0, 15, 15), (29, 4, 1, 0)], ["", "16 of 20 attempts failed in 30 s"]),
        ([(0, 0, 15, 15), (31, 4, 1, 0)], ["", ""]),  # what is out of the window is forgotten
        ([(0, 0, 0, 0)], [""]),
    ],
)
def test_it_trips(pulses: Sequence[tuple[float, int, int, int]], expected: list[str]) -> None:
    assert told(*pulses) == expected


def test_both_thresholds_are_the_settings() -> None:
    few = replace(SETTINGS, consecutive_failures=2, minimum_attempts=1000)
    assert told((0, 0, 2, 2), settings=few) == ["2 attempts in a row failed"]
    percent = replace(SETTINGS, failure_percent=10, minimum_attempts=10, window_seconds=5.0)
    assert told((0, 9, 1, 0), settings=percent) == ["1 of 10 attempts failed in 5 s"]


_pulses = st.lists(
    st.tuples(st.floats(0, 5), st.integers(0, 30), st.integers(0, 30)).flatmap(
        lambda one: st.tuples(*map(st.just, one), st.integers(0, one[2]))
    ),
    max_size=60,
)


@given(_pulses)
def test_whatever_is_told(pulses: list[tuple[float, int, int, int]]) -> None:
    breaker, now = Breaker(), 0.0
    for pause, succeeded, failed, tail in pulses:
        now += pause
        before = breaker
        breaker, why = after(breaker, Pulse(succeeded, failed, tail), SETTINGS, now)
        assert len(breaker.parts) <= 31  # what is remembered has a bound
        assert breaker.streak == (tail if succeeded else before.streak + failed)
        if breaker.streak >= SETTINGS.consecutive_failures:
            assert why
        if not failed and why:
            assert before.streak or before.parts  # a success alone never trips it
