"""What holds of every scaling decision, whatever was observed before it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from jobrun_operator.core.scaling import (
    Observation,
    ScaleDecision,
    ScaleReason,
    ScaleUpLimit,
    ScalingHistory,
    ScalingSettings,
    decide,
)
from jobrun_operator.core.scaling_demand import recommend

RATES = st.floats(0, 5000, allow_subnormal=False)
COUNTS = st.integers(0, 60_000)
LIMITS = st.builds(ScaleUpLimit, replicas=st.integers(1, 20), period_seconds=st.integers(1, 120))


@st.composite
def scalings(draw: st.DrawFn) -> ScalingSettings:
    least, drains = draw(st.integers(0, 20)), draw(st.booleans())
    return ScalingSettings(
        min_replicas=least,
        max_replicas=least + draw(st.integers(0, 200)),
        drain_seconds=draw(st.integers(1, 600)) if drains else None,
        tasks_per_replica=None if drains else draw(st.integers(1, 1000)),
        scale_up=draw(st.none() | LIMITS),
        stabilization_seconds=draw(st.integers(0, 90)),
        concurrency=draw(st.integers(1, 1000)),
    )


@st.composite
def observations(draw: st.DrawFn, known: bool = False) -> Observation:
    waiting, running, remaining = draw(COUNTS), draw(COUNTS), draw(COUNTS)
    hidden = draw(st.sampled_from(["", "", "", "waiting", "outstanding"])) if not known else ""
    return Observation(
        asked_rate=draw(st.none() | st.floats(0.01, 5000)),
        release_rate=draw(RATES),
        waiting=None if hidden == "waiting" else waiting,
        outstanding=None if hidden == "outstanding" else waiting + running,
        completion_rate=draw(st.none() | RATES),
        running=running,
        replicas=0,
        ready=draw(st.integers(0, 30)),
        more_to_release=remaining > 0 and draw(st.booleans()),
        remaining=remaining,
    )


STEPS = st.lists(st.tuples(st.floats(0.1, 45), observations()), min_size=1, max_size=25)
Course = list[tuple[float, Observation, ScaleDecision, int]]


def course(scaling: ScalingSettings, steps: list[tuple[float, Observation]]) -> Course:
    """(time, observed, decided, recommended) of every step; replicas follow what was decided."""
    history, replicas, now, taken = ScalingHistory(), scaling.min_replicas, 0.0, []
    for elapsed, step in steps:
        now += elapsed
        observed = replace(step, replicas=replicas)
        decision, history = decide(scaling, observed, history, now)
        wanted, _ = recommend(scaling, observed, history.service)
        wanted = min(scaling.max_replicas, max(scaling.min_replicas, wanted))
        taken.append((now, observed, decision, wanted))
        replicas = decision.replicas
    return taken


@given(scalings(), STEPS)
def test_bounds_hold_and_never_zero_while_anything_is_outstanding(
    scaling: ScalingSettings, steps: list[tuple[float, Observation]]
) -> None:
    for _, observed, decision, _ in course(scaling, steps):
        assert scaling.min_replicas <= decision.replicas <= scaling.max_replicas
        if observed.outstanding and decision.reason is not ScaleReason.DEPTH_UNKNOWN:
            assert decision.replicas >= min(1, scaling.max_replicas)


@given(scalings(), STEPS)
def test_up_at_once_without_a_limit(scaling: ScalingSettings, steps: list[tuple[float, Observation]]) -> None:
    for _, _, decision, wanted in course(replace(scaling, scale_up=None), steps):
        assert decision.replicas >= wanted


@given(scalings(), STEPS)
def test_down_only_when_fewer_would_have_done_for_the_whole_window(
    scaling: ScalingSettings, steps: list[tuple[float, Observation]]
) -> None:
    taken = course(scaling, steps)
    for now, observed, decision, _ in taken:
        window = [
            wanted for at, _, _, wanted in taken if at <= now and now - at < scaling.stabilization_seconds
        ]
        if decision.replicas < observed.replicas:
            assert decision.replicas == max(window, default=decision.replicas)


@given(scalings(), STEPS)
def test_an_unread_depth_holds_the_number(
    scaling: ScalingSettings, steps: list[tuple[float, Observation]]
) -> None:
    for _, observed, decision, _ in course(scaling, steps):
        drains = scaling.drain_seconds is not None
        if observed.outstanding is None or (drains and observed.waiting is None):
            assert decision == ScaleDecision(observed.replicas, ScaleReason.DEPTH_UNKNOWN)


@given(scalings(), LIMITS, STEPS)
def test_no_period_sees_more_added_than_the_limit(
    scaling: ScalingSettings, limit: ScaleUpLimit, steps: list[tuple[float, Observation]]
) -> None:
    scaling = replace(scaling, scale_up=limit)
    added = [
        (now, max(0, decision.replicas - observed.replicas), observed.replicas)
        for now, observed, decision, _ in course(scaling, steps)
    ]
    for end, _, _ in added:
        period = [
            (more, before) for at, more, before in added if at <= end and end - at < limit.period_seconds
        ]
        first_workers = sum(1 for more, before in period if before == 0 and more)
        assert sum(more for more, _ in period) <= limit.replicas + first_workers


@given(scalings(), STEPS, observations(known=True), COUNTS, st.booleans(), st.integers(0, 100))
def test_more_waiting_never_means_fewer(
    scaling: ScalingSettings,
    before: list[tuple[float, Observation]],
    observed: Observation,
    more: int,
    same_outstanding: bool,
    replicas: int,
) -> None:
    history, now = ScalingHistory(), 0.0
    for elapsed, step in before:
        now += elapsed
        _, history = decide(scaling, step, history, now)
    observed = replace(observed, replicas=replicas)
    assert observed.waiting is not None
    assert observed.outstanding is not None
    fuller = replace(
        observed,
        waiting=observed.waiting + more,
        outstanding=observed.outstanding + (0 if same_outstanding else more),
    )
    fewer = decide(scaling, observed, history, now + 1)[0].replicas
    assert fewer <= decide(scaling, fuller, history, now + 1)[0].replicas


@given(scalings(), STEPS)
@settings(max_examples=50)
def test_the_same_course_gives_the_same_decisions_and_a_small_history(
    scaling: ScalingSettings, steps: list[tuple[float, Observation]]
) -> None:
    assert course(scaling, steps) == course(scaling, steps)
    history = ScalingHistory()
    for second in range(300):
        _, history = decide(scaling, steps[second % len(steps)][1], history, float(second))
    assert len(history.recommendations) <= scaling.max_replicas + 1
    limit = scaling.scale_up
    assert len(history.scale_ups) <= (0 if limit is None else limit.replicas + limit.period_seconds)
