"""Scaling row by row: what is observed, and how many workers that asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jobrun_operator.core.scaling import (
    Observation,
    ScaleDecision,
    ScaleReason,
    ScaleUpLimit,
    ScalingHistory,
    ScalingSettings,
    decide,
)
from jobrun_operator.core.scaling_service import ServiceTime

DRAIN = ScalingSettings(max_replicas=100, drain_seconds=30, stabilization_seconds=30, concurrency=16)
SHARE = ScalingSettings(max_replicas=100, tasks_per_replica=50)
IDLE = Observation(
    asked_rate=None,
    release_rate=0,
    waiting=0,
    outstanding=0,
    completion_rate=None,
    running=0,
    replicas=0,
    ready=0,
    more_to_release=False,
    remaining=0,
)


def seen(waiting: int, running: int, ready: int, **others: Any) -> Observation:
    """An observation at which every worker asked for is ready."""
    values: dict[str, Any] = {"replicas": ready, "outstanding": waiting + running, **others}
    return replace(IDLE, waiting=waiting, running=running, ready=ready, **values)


def knowing(service_seconds: float | None) -> ScalingHistory:
    """A history that knows the service time, and nothing to wait for before scaling down."""
    return ScalingHistory(recommendations=((-1e9, 0),), service=ServiceTime(service_seconds))


def decided(settings: ScalingSettings, observed: Observation, service_seconds: float | None) -> ScaleDecision:
    return decide(settings, observed, knowing(service_seconds), 0.0)[0]


PACED = {"asked_rate": 100.0, "release_rate": 100.0, "more_to_release": True, "remaining": 10_000}
HELD = {**PACED, "release_rate": 20.0}
UNPACED = {"more_to_release": True, "remaining": 10_000}


@pytest.mark.parametrize(
    ("observed", "service_seconds", "replicas", "reason"),
    [
        # nothing to do, and the first tasks
        (seen(0, 0, 0), None, 0, ScaleReason.NOTHING_OUTSTANDING),
        (seen(0, 0, 3), 0.1, 0, ScaleReason.NOTHING_OUTSTANDING),
        (seen(1, 0, 0), None, 1, ScaleReason.UNMEASURED),
        (seen(33, 0, 0), None, 3, ScaleReason.UNMEASURED),
        (seen(1, 0, 0), 0.001, 1, ScaleReason.DRAIN),
        # no rate: what waits, and what is not released yet, within 30 s
        (seen(4800, 0, 0), 1.0, 10, ScaleReason.DRAIN),
        (seen(4801, 0, 0), 1.0, 11, ScaleReason.DRAIN),
        (seen(100, 16, 1, completion_rate=16.0, **UNPACED), 1.0, 8, ScaleReason.DRAIN),
        (seen(2, 1, 0), 60.0, 1, ScaleReason.DRAIN),
        # a rate, with workers that keep up: inflow times service time
        (seen(0, 32, 2, completion_rate=100.0, **PACED), 0.32, 2, ScaleReason.DRAIN),
        (seen(0, 32, 5, completion_rate=100.0, **PACED), 0.32, 3, ScaleReason.DRAIN),
        (seen(0, 20, 5, completion_rate=100.0, **PACED), 0.20, 2, ScaleReason.DRAIN),
        (seen(0, 32, 2, completion_rate=100.0, **PACED), 0.33, 2, ScaleReason.KEEPING_UP),
        (seen(0, 33, 2, completion_rate=100.0, **PACED), 0.33, 3, ScaleReason.DRAIN),
        (seen(50, 32, 2, completion_rate=100.0, **PACED), 0.32, 2, ScaleReason.KEEPING_UP),
        # a rate, with workers that don't: back-pressure hides the inflow, the asked rate shows it
        (seen(200, 16, 1, completion_rate=20.0, **HELD), 0.8, 6, ScaleReason.DRAIN),
        (seen(10, 16, 1, completion_rate=20.0, **HELD), 0.8, 6, ScaleReason.DRAIN),
        (seen(0, 16, 1, completion_rate=20.0, **HELD), 0.8, 1, ScaleReason.DRAIN),
        # all workers gone
        (seen(200, 0, 0, replicas=4, **HELD), 0.8, 6, ScaleReason.DRAIN),
        (seen(0, 160, 0), 30.0, 10, ScaleReason.DRAIN),
        # delayed retries are not running tasks; retries that are due are waiting ones
        (seen(0, 500, 2, completion_rate=100.0, **PACED), 0.1, 1, ScaleReason.DRAIN),
        (seen(0, 500, 2, completion_rate=32.0), 1.0, 2, ScaleReason.DRAIN),
        (seen(0, 5000, 2, completion_rate=32.0), 1.0, 11, ScaleReason.DRAIN),
        # slow tasks of which none ends for a while hold their slots
        (seen(0, 160, 10, completion_rate=0.0), 60.0, 10, ScaleReason.DRAIN),
        (seen(0, 40, 10, completion_rate=0.0), 60.0, 3, ScaleReason.DRAIN),
    ],
)
def test_by_drain_time(
    observed: Observation, service_seconds: float | None, replicas: int, reason: ScaleReason
) -> None:
    assert decided(DRAIN, observed, service_seconds) == ScaleDecision(replicas, reason)


@pytest.mark.parametrize(
    ("outstanding", "replicas"), [(0, 0), (1, 1), (50, 1), (51, 2), (500, 10), (9999, 100)]
)
def test_by_share(outstanding: int, replicas: int) -> None:
    assert decided(SHARE, replace(IDLE, outstanding=outstanding, waiting=None), None).replicas == replicas


@pytest.mark.parametrize(
    ("least", "most", "outstanding", "expected"),
    [
        (0, 10, 0, ScaleDecision(0, ScaleReason.NOTHING_OUTSTANDING)),
        (2, 10, 0, ScaleDecision(2, ScaleReason.MINIMUM)),
        (2, 10, 10, ScaleDecision(2, ScaleReason.MINIMUM)),
        (2, 10, 200, ScaleDecision(4, ScaleReason.SHARE)),
        (2, 10, 501, ScaleDecision(10, ScaleReason.MAXIMUM)),
        (0, 0, 10, ScaleDecision(0, ScaleReason.MAXIMUM)),
    ],
)
def test_bounds(least: int, most: int, outstanding: int, expected: ScaleDecision) -> None:
    settings = replace(SHARE, min_replicas=least, max_replicas=most)
    assert decided(settings, replace(IDLE, outstanding=outstanding), None) == expected


@pytest.mark.parametrize("unknown", ["waiting", "outstanding"])
def test_what_can_not_be_read_holds_the_number_within_the_bounds(unknown: str) -> None:
    observed = replace(seen(500, 16, 7), **{unknown: None})  # type: ignore[arg-type]
    assert decided(DRAIN, observed, 1.0) == ScaleDecision(7, ScaleReason.DEPTH_UNKNOWN)
    assert decided(replace(DRAIN, max_replicas=5), observed, 1.0) == ScaleDecision(5, ScaleReason.MAXIMUM)


def test_down_to_the_highest_of_the_window_and_only_when_it_has_passed() -> None:
    history, replicas, course = ScalingHistory(), 0, []
    for second, outstanding in enumerate([500] * 5 + [250] * 10 + [100] * 40):
        decision, history = decide(
            SHARE, replace(IDLE, outstanding=outstanding, replicas=replicas), history, float(second)
        )
        replicas = decision.replicas
        course.append((replicas, decision.reason))
    assert course[:5] == [(10, ScaleReason.SHARE)] * 5
    assert course[5:34] == [(10, ScaleReason.STABILIZING)] * 29
    assert course[34:44] == [(5, ScaleReason.STABILIZING)] * 10
    assert course[44:] == [(2, ScaleReason.SHARE)] * 11


def test_a_restarted_operator_waits_out_the_window() -> None:
    history, observed = ScalingHistory(), replace(IDLE, replicas=6)
    decision, history = decide(DRAIN, observed, history, 1000.0)
    assert decision == ScaleDecision(6, ScaleReason.STABILIZING)
    decision, history = decide(DRAIN, observed, history, 1029.9)
    assert decision == ScaleDecision(6, ScaleReason.STABILIZING)
    decision, history = decide(DRAIN, observed, history, 1030.0)
    assert decision == ScaleDecision(0, ScaleReason.NOTHING_OUTSTANDING)


def test_an_unread_depth_does_not_shorten_the_window() -> None:
    history, replicas = ScalingHistory(), 0
    for second in range(60):
        observed = replace(IDLE, outstanding=500 if second < 40 else 0, replicas=replicas)
        if 10 <= second < 40:
            observed = replace(observed, outstanding=None)
        decision, history = decide(SHARE, observed, history, float(second))
        replicas = decision.replicas
    assert decision == ScaleDecision(10, ScaleReason.STABILIZING)


def test_a_scale_up_is_limited_within_every_period() -> None:
    settings = replace(SHARE, scale_up=ScaleUpLimit(replicas=3, period_seconds=10))
    history, replicas, course = ScalingHistory(), 0, []
    for second in range(31):
        observed = replace(IDLE, outstanding=500, replicas=replicas)
        decision, history = decide(settings, observed, history, float(second))
        replicas = decision.replicas
        course.append(replicas)
    assert course == [3] * 10 + [6] * 10 + [9] * 10 + [10]


def test_the_first_worker_and_the_minimum_are_never_held_back() -> None:
    settings = replace(SHARE, scale_up=ScaleUpLimit(replicas=1, period_seconds=600))
    spent = replace(knowing(None), scale_ups=((0.0, 1),))
    observed = replace(IDLE, outstanding=500)
    assert decide(settings, observed, spent, 60.0)[0] == ScaleDecision(1, ScaleReason.SCALE_UP_LIMITED)
    assert decide(replace(settings, min_replicas=4), observed, spent, 60.0)[0].replicas == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"drain_seconds": None},
        {"tasks_per_replica": 10},
        {"drain_seconds": 0},
        {"concurrency": 0},
        {"min_replicas": -1},
        {"min_replicas": 11, "max_replicas": 10},
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong: dict[str, int | None]) -> None:
    with pytest.raises(ValueError, match=r"drain_seconds|minReplicas"):
        ScalingSettings(**{"drain_seconds": 30, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [DRAIN, SHARE])
def test_a_run_that_waits_for_its_first_worker_gets_one(settings: ScalingSettings) -> None:
    waits = replace(IDLE, asked_rate=10.0, more_to_release=True, remaining=100, awaits_worker=True)
    assert decided(settings, waits, None) == ScaleDecision(1, ScaleReason.FIRST_WORKER)
    limited = replace(settings, scale_up=ScaleUpLimit(replicas=0, period_seconds=60))
    assert decided(limited, waits, None).replicas == 1
    none = replace(settings, max_replicas=0)
    assert decided(none, waits, None) == ScaleDecision(0, ScaleReason.MAXIMUM)


def test_every_reason_says_what_it_means() -> None:
    for reason in ScaleReason:
        assert reason.value.isalnum()
        assert reason.sentence.endswith(".")
