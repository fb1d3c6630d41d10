"""Whole runs in discrete time: they drain, keep their rate, settle near the fewest workers and don't flap."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from jobrun_operator.core.scaling import ScaleUpLimit, ScalingSettings
from support.scaling_sim import Scenario, simulate

ENDLESS = 10**9
Service = Callable[[float, random.Random], float]


def drain(most: int = 10, concurrency: int = 16, scale_up: ScaleUpLimit | None = None) -> ScalingSettings:
    return ScalingSettings(max_replicas=most, drain_seconds=30, concurrency=concurrency, scale_up=scale_up)


def takes(seconds: float) -> Service:
    return lambda _now, _random: seconds


def takes_about(seconds: float) -> Service:
    """Exponential: the most uneven of the usual service times."""
    return lambda _now, random: random.expovariate(1 / seconds)


def paced(
    rate: float, service: Service, concurrency: int = 16, most: int = 1000, **others: object
) -> Scenario:
    """A run with a rate, with the default of ``maxWaiting``: what the rate allows in 2 s."""
    return Scenario(
        drain(most, concurrency),
        ENDLESS,
        service,
        asked_rate=rate,
        max_waiting=max(1, round(2 * rate)),
        **others,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("rate", "seconds", "concurrency"),
    [
        (10, 0.1, 16),
        (100, 0.16, 16),  # a whole number of replicas, exactly
        (100, 0.32, 16),
        (100, 0.33, 16),
        (100, 0.9, 16),
        (200, 1.0, 4),
        (1, 1.0, 1),
        (2, 2.5, 1),
        (10, 60.0, 16),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_steady_rate_settles_within_one_of_the_fewest(
    rate: float, seconds: float, concurrency: int, seed: int
) -> None:
    course = simulate(paced(rate, takes(seconds), concurrency, seed=seed), 900)
    fewest = math.ceil(rate * seconds / concurrency)
    settled = course.replicas(400, 900)
    assert fewest <= min(settled)
    assert max(settled) <= max(fewest + 1, math.ceil(1.1 * fewest))
    assert course.changes(400, 900) <= 2
    assert course.rate(400, 900) == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize(
    ("rate", "seconds", "concurrency"), [(100, 0.32, 16), (100, 0.9, 16), (200, 1.0, 4), (10, 60.0, 16)]
)
def test_uneven_tasks_keep_the_rate_with_few_scale_events(
    rate: float, seconds: float, concurrency: int
) -> None:
    course = simulate(paced(rate, takes_about(seconds), concurrency), 1200)
    need = rate * seconds / concurrency
    settled = course.replicas(600, 1200)
    assert need - 1 <= min(settled)
    assert max(settled) <= math.ceil(1.15 * need) + 1
    assert course.changes(600, 1200) <= 6
    assert course.rate(600, 1200) == pytest.approx(rate, rel=0.02)


def test_readings_taken_right_after_each_release_cost_two_workers_at_most() -> None:
    course = simulate(paced(100, takes(0.32), right_after_release=True), 600)
    assert 2 <= min(course.replicas(300, 600)) <= max(course.replicas(300, 600)) <= 4
    assert course.changes(300, 600) == 0


def test_back_pressure_does_not_hold_a_run_below_its_rate() -> None:
    """Warm with one worker where 32 are needed, at a service time that is known soon."""
    course = simulate(paced(100, takes(5.0), start_replicas=1), 300)
    assert min(course.replicas(60, 300)) >= 32
    assert course.rate(90, 300) == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize("rate", [0.2, 1.0, 20.0])
def test_a_worker_stays_while_tasks_come_that_it_ends_between_two_looks(rate: float) -> None:
    course = simulate(paced(rate, takes(0.01)), 600)
    assert course.changes(60, 590) == 0
    assert set(course.replicas(60, 590)) == {1}


@pytest.mark.parametrize(("rate", "seconds"), [(2 / 60, 20.0), (6 / 60, 8.0), (1.0, 0.9)])
def test_a_slot_that_is_just_enough_stays_the_only_one(rate: float, seconds: float) -> None:
    course = simulate(paced(rate, takes(seconds), concurrency=1), 900)
    assert max(course.replicas(300, 900)) == 1


@pytest.mark.parametrize(("rate", "seconds"), [(2, 60.0), (10, 60.0), (1, 30.0)])
def test_slow_tasks_find_their_worker_there_when_the_slots_are_full(rate: float, seconds: float) -> None:
    """The rate is kept although a worker after the other is needed, and each takes 5 s to start."""
    course = simulate(paced(rate, takes(seconds)), 121)
    assert course.samples[-1].released >= 0.93 * 120 * rate


def test_a_slow_rate_goes_to_zero_between_tasks() -> None:
    course = simulate(paced(1 / 60, takes(2.0)), 900)
    assert set(course.replicas(60, 900)) == {0, 1}
    assert course.samples[-1].released == 14


@pytest.mark.parametrize(
    ("total", "seconds", "most", "within"),
    [
        (50, 0.01, 10, 6),
        (1000, 1.0, 10, 13),
        (100_000, 0.05, 10, 45),
        (1000, 60.0, 10, 430),
        (200_000, 0.2, 50, 70),
    ],
)
def test_a_burst_without_a_rate_drains_about_as_fast_as_all_workers_can(
    total: int, seconds: float, most: int, within: float
) -> None:
    course = simulate(Scenario(drain(most), total, takes(seconds)), 900)
    assert course.finished_at is not None
    assert course.finished_at <= within
    assert course.samples[-1].replicas == 0
    assert course.changes(0, 1000) <= 8


def test_a_small_backlog_of_short_tasks_does_not_take_all_workers() -> None:
    settings = drain(100)
    course = simulate(Scenario(settings, 3000, takes(0.05), max_waiting=100), 300)
    assert course.finished_at is not None
    assert max(course.replicas(0, 300)) <= 7
    assert course.finished_at <= 5 + 30 + 5


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("start", [0, 8])
def test_delayed_retries_neither_ratchet_up_nor_flap(share: float, start: int) -> None:
    course = simulate(
        paced(
            100,
            takes(0.1),
            most=50,
            fails=lambda _now, random: random.random() < share,
            start_replicas=start,
        ),
        900,
    )
    assert 1 <= min(course.replicas(300, 900)) <= max(course.replicas(300, 900)) <= 4
    assert course.changes(300, 900) <= 2


def test_an_outage_midway_does_not_scale_up_for_retries_that_wait() -> None:
    course = simulate(
        paced(100, takes(0.1), fails=lambda now, _random: 300 < now < 600, start_replicas=1), 900
    )
    assert max(course.replicas(100, 900)) <= 3


def test_tasks_that_become_slow_and_fast_again_are_followed() -> None:
    course = simulate(paced(100, lambda now, _random: 10 if 300 < now < 700 else 0.1, most=200), 1100)
    assert max(course.replicas(200, 300)) <= 3
    assert min(course.replicas(430, 700)) >= 62.5
    assert max(course.replicas(500, 700)) <= 70
    assert course.rate(430, 690) == pytest.approx(100, rel=0.02)
    assert course.replicas(1000, 1100)[-1] <= 3


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_backlog_of_retries_keeps_its_workers_until_it_is_worked_off(share: float) -> None:
    fails = lambda _now, random: random.random() < share  # noqa: E731
    course = simulate(Scenario(drain(), 20_000, takes(1.0), fails=fails), 900)
    attempts = sum(share**attempt for attempt in range(4)) * 20_000
    assert course.finished_at is not None
    assert course.finished_at <= attempts / 160 * 1.1 + 20
    assert course.samples[-1].replicas == 0


def test_lost_workers_come_back_and_what_they_held_is_worked_off() -> None:
    course = simulate(Scenario(drain(), 5000, takes(1.0), lose_workers_at=20), 900)
    assert course.finished_at is not None
    assert course.finished_at <= 5 + 5000 / 160 + 5 + 30
    steady = simulate(paced(50, takes(1.0), lose_workers_at=300), 900)
    assert max(steady.replicas(310, 900)) <= 10
    assert 4 <= min(steady.replicas(600, 900)) <= max(steady.replicas(600, 900)) <= 5


def test_a_limited_scale_up_is_a_staircase() -> None:
    limit = ScaleUpLimit(replicas=2, period_seconds=10)
    course = simulate(Scenario(drain(scale_up=limit), 20_000, takes(1.0)), 900)
    for sample in course.between(0, 60):
        recent = course.replicas(sample.at - 9.9, sample.at + 0.01)
        assert max(recent) - min(recent) <= 2
    assert max(course.replicas(0, 100)) == 10
    assert course.finished_at is not None


def test_the_same_scenario_gives_the_same_course() -> None:
    scenario = paced(20, takes_about(1.0), seed=7)
    assert simulate(scenario, 120) == simulate(scenario, 120)
