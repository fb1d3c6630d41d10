"""How often a run is looked at: as asked where there are few, and never so often that all together cost too much."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrun_operator.core import looks

ASKED = st.floats(min_value=0.05, max_value=60)
RUNS = st.integers(min_value=1, max_value=100_000)
PHASE = st.integers(min_value=0, max_value=1023).map(lambda number: number / 1024)


@pytest.mark.parametrize(
    ("asked", "runs", "seconds"),
    [
        (1.0, 1, 1.0),
        (1.0, 250, 1.0),
        (1.0, 500, 2.0),
        (1.0, 1000, 4.0),
        (1.0, 100_000, looks.MOST_SECONDS),
        (0.2, 1, 0.2),
        (0.2, 100, 0.4),
        (60.0, 100_000, 60.0),
    ],
)
def test_the_interval(asked: float, runs: int, seconds: float) -> None:
    assert looks.interval(asked, runs) == pytest.approx(seconds)


@given(ASKED, RUNS)
def test_it_is_stretched_as_far_as_it_must_and_no_further(asked: float, runs: int) -> None:
    found = looks.interval(asked, runs)
    assert asked <= found <= max(asked, looks.MOST_SECONDS)
    together = runs / found
    assert together <= looks.LOOKS_PER_SECOND * (1 + 1e-9) or found == max(asked, looks.MOST_SECONDS)
    assert found == asked or together >= looks.LOOKS_PER_SECOND * (1 - 1e-9)


@given(ASKED, RUNS, PHASE, st.floats(0, 1e6))
def test_a_rest_ends_within_the_interval(asked: float, runs: int, phase: float, now: float) -> None:
    assert 0 <= looks.rest(asked, runs, phase, now) <= looks.interval(asked, runs)


@given(st.integers(min_value=300, max_value=5000), PHASE, st.floats(0, 1e4))
def test_who_is_looked_at_in_between_keeps_its_place(runs: int, phase: float, now: float) -> None:
    due = now + looks.rest(1.0, runs, phase, now)
    between = now + (due - now) / 2
    assert between + looks.rest(1.0, runs, phase, between) == pytest.approx(due, abs=1e-6)


def test_runs_that_began_together_are_spread_over_the_interval() -> None:
    rests = sorted(looks.rest(1.0, 1000, number / 1000, 12_345.6) for number in range(1000))
    assert rests[0] <= 0.0201
    assert max(after - before for before, after in itertools.pairwise(rests)) == pytest.approx(0.02)


def test_a_few_of_them_are_looked_at_together() -> None:
    rests = [looks.rest(1.0, 1000, (number + 0.5) / 1000, 12_345.6) for number in range(1000)]
    places = Counter(round(rest, 6) for rest in rests)
    assert set(places.values()) == {5}


@pytest.mark.parametrize(("asked", "runs", "seconds"), [(1.0, 1, 1.0), (1.0, 1000, 10.0), (5.0, 200, 10.0)])
def test_what_seldom_shows_anything_is_stretched_further(asked: float, runs: int, seconds: float) -> None:
    assert looks.seldom(asked, runs) == pytest.approx(seconds)
