"""What holds of every situation a run can be in."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobrun_operator.api import FailurePolicy, Phase
from jobrun_operator.core.counts import Counts
from jobrun_operator.core.lifecycle import LOST_SECONDS, Fault, Situation, decide
from jobrun_operator.core.reasons import Reason

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
_small = st.integers(0, 3)
_faults = st.none() | st.builds(Fault, st.sampled_from(Reason), st.text(max_size=5))
_counts = st.builds(
    Counts,
    total=st.integers(1, 3),
    released=_small,
    outstanding=_small,
    waiting=_small,
    succeeded=_small,
    failed=_small,
    redeliveries=_small,
    lost=_small,
)
situations = st.builds(
    Situation,
    now=st.just(NOW),
    phase=st.sampled_from(Phase),
    failing=_faults,
    suspend=st.booleans(),
    ready=st.booleans(),
    counts=st.none() | _counts,
    workers_running=_small,
    fault=_faults,
    failure_policy=st.none() | st.builds(FailurePolicy, max_failed_tasks=_small),
    active_deadline_seconds=st.none() | st.integers(1, 200),
    started=st.none() | st.integers(0, 200).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    suspended_seconds=st.floats(0, 200),
)


@given(situations)
def test_the_end_is_the_end_but_for_retries(seen: Situation) -> None:
    transition = decide(seen)
    if seen.phase == Phase.COMPLETED and seen.counts is not None and seen.counts.outstanding:
        assert transition is not None
        assert (transition.phase, transition.reason) == (Phase.RUNNING, Reason.RETRYING)
    elif seen.phase.is_final:
        assert transition is None


@given(situations)
def test_what_fails_can_only_fail(seen: Situation) -> None:
    transition = decide(seen)
    if seen.failing is not None and transition is not None and seen.phase != Phase.COMPLETED:
        assert transition.phase == Phase.FAILED
        assert (transition.reason, transition.message) == (seen.failing.reason, seen.failing.message)


@given(situations)
def test_failing_takes_two_steps(seen: Situation) -> None:
    transition = decide(seen)
    if transition is None:
        return
    if transition.failing:
        assert transition.phase == seen.phase
    if transition.phase == Phase.FAILED:
        assert seen.failing is not None
        assert seen.workers_running == 0


@given(situations)
def test_a_finished_run_ends(seen: Situation) -> None:
    seen = dataclasses.replace(
        seen, lost_seconds=LOST_SECONDS
    )  # what is missing until then may still show up
    if seen.phase in (Phase.RUNNING, Phase.SUSPENDED) and seen.counts is not None and seen.counts.finished:
        transition = decide(seen)
        if seen.failing is not None and seen.workers_running:
            assert transition is None
        else:
            assert transition is not None
            assert transition.failing or transition.phase.is_final


@given(situations)
def test_complete_means_that_everything_has_an_outcome(seen: Situation) -> None:
    transition = decide(seen)
    if transition is not None and transition.phase == Phase.COMPLETED:
        assert seen.counts is not None
        assert seen.counts.finished
        assert not seen.counts.lost


@given(situations)
def test_nothing_runs_before_it_is_ready(seen: Situation) -> None:
    if seen.phase == Phase.PENDING and not seen.ready:
        transition = decide(seen)
        assert transition is None or transition.failing or transition.phase == Phase.FAILED


@given(situations)
def test_every_run_comes_to_rest(seen: Situation) -> None:
    """With nothing changing around it, a run moves a few times and then stays."""
    for _step in range(5):
        transition = decide(seen)
        if transition is None:
            return
        failing = Fault(transition.reason, transition.message) if transition.failing else seen.failing
        assert (transition.phase, failing) != (seen.phase, seen.failing)
        seen = dataclasses.replace(seen, phase=transition.phase, failing=failing)
    raise AssertionError("it goes round")
