"""What happens to a delivery and after a result: rows of a table, and laws over all inputs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrun_worker.decisions import (
    MAX_HOLD_SECONDS,
    MAX_RETRY_SECONDS,
    MIN_HOLD_SECONDS,
    Again,
    Bury,
    Complete,
    Failed,
    GaveUp,
    Pause,
    Paused,
    Result,
    RetryPolicy,
    Run,
    RunAlone,
    Succeeded,
    after_run,
    backoff,
    before_run,
    hand_back,
    hold_seconds,
)
from jobrun_worker.wire import AttemptRecord

POLICY = RetryPolicy(max_attempts=3, initial_delay=5, max_delay=300)

records = st.builds(
    AttemptRecord, failures=st.integers(0, 50), returns=st.integers(0, 50), error=st.just("e")
)
policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 100),
    initial_delay=st.floats(0, 3600),
    max_delay=st.floats(0, 86_400),
)
rolls = st.floats(0, 1, exclude_max=True)
results = st.one_of(
    st.builds(Succeeded, st.binary()),
    st.builds(Failed, st.text(), st.none() | st.floats()),
    st.builds(GaveUp, st.text()),
    st.builds(Paused, st.floats()),
)


@pytest.mark.parametrize(
    ("delivered", "record", "verdict"),
    [
        (1, AttemptRecord(), Run(1)),
        (2, AttemptRecord(failures=1), Run(2)),
        (2, AttemptRecord(returns=1), Run(1)),
        (9, AttemptRecord(failures=2, returns=6), Run(3)),
        (2, AttemptRecord(), RunAlone(2)),
        (4, AttemptRecord(failures=1, returns=1), RunAlone(3)),
        # The record may be ahead: stored, and then the nak was lost or the broker forgot a delivery.
        (1, AttemptRecord(failures=1), Run(2)),
        (3, AttemptRecord(failures=3, error="e"), Bury("MaxAttempts", "e", 3)),
    ],
)
def test_before_run(delivered: int, record: AttemptRecord, verdict: Run | RunAlone | Bury) -> None:
    assert before_run(delivered, record, 3) == verdict


def test_a_task_whose_worker_was_lost_as_often_as_it_may_run_is_buried() -> None:
    verdict = before_run(5, AttemptRecord(failures=1), 3)
    assert isinstance(verdict, Bury)
    assert (verdict.reason, verdict.attempts) == ("WorkerLost", 4)
    assert "lost 3 times" in verdict.error
    once = before_run(2, AttemptRecord(), 1)
    assert isinstance(once, Bury)
    assert "lost once" in once.error


@pytest.mark.parametrize(
    ("result", "record", "verdict"),
    [
        (Succeeded(b"1"), AttemptRecord(failures=1), Complete(b"1", 2)),
        (GaveUp("no"), AttemptRecord(), Bury("HandlerFailed", "no", 1)),
        (Failed("e"), AttemptRecord(), Again(AttemptRecord(failures=1, error="e"), 2.5)),
        (
            Failed("e"),
            AttemptRecord(failures=1, returns=4),
            Again(AttemptRecord(failures=2, returns=4, error="e"), 5),
        ),
        (Failed("e", 7), AttemptRecord(), Again(AttemptRecord(failures=1, error="e"), 7)),
        (Failed("e", 0), AttemptRecord(), Again(AttemptRecord(failures=1, error="e"), 0)),
        (Failed("e", -1), AttemptRecord(), Again(AttemptRecord(failures=1, error="e"), 0)),
        (Failed("e", math.nan), AttemptRecord(), Again(AttemptRecord(failures=1, error="e"), 2.5)),
        (Failed("e", 1e12), AttemptRecord(), Again(AttemptRecord(failures=1, error="e"), MAX_RETRY_SECONDS)),
        (Failed("e"), AttemptRecord(failures=2), Bury("MaxAttempts", "e", 3)),
        (Failed("e", 7), AttemptRecord(failures=2), Bury("MaxAttempts", "e", 3)),
        (Paused(9), AttemptRecord(failures=2, error="e"), Pause(AttemptRecord(2, 1, "e"), 9)),
    ],
)
def test_after_run(result: Result, record: AttemptRecord, verdict: Complete | Bury | Again | Pause) -> None:
    assert after_run(result, record, POLICY, lost=0, roll=0.5) == verdict


@given(records, policies, results, st.integers(0, 20), rolls)
def test_every_result_is_booked_once(
    record: AttemptRecord, policy: RetryPolicy, result: Result, lost: int, roll: float
) -> None:
    """The next delivery finds exactly as many deliveries unaccounted for as this one did."""
    delivered = record.failures + record.returns + lost + 1
    verdict = after_run(result, record, policy, lost=lost, roll=roll)
    if isinstance(verdict, Again | Pause):
        assert verdict.record.lost(delivered + 1) == lost
    else:
        assert verdict.attempts == record.failures + lost + 1


@given(records, policies, st.integers(0, 20), rolls)
def test_a_failure_ends_a_task_exactly_at_the_limit(
    record: AttemptRecord, policy: RetryPolicy, lost: int, roll: float
) -> None:
    verdict = after_run(Failed("e"), record, policy, lost=lost, roll=roll)
    assert isinstance(verdict, Bury) == (record.failures + 1 >= policy.max_attempts)


@given(records, st.integers(1, 60), st.integers(1, 100))
def test_a_returned_task_is_charged_nothing(record: AttemptRecord, delivered: int, max_attempts: int) -> None:
    returned = hand_back(record)
    assert returned.lost(delivered + 1) == record.lost(delivered) or record.lost(delivered) == 0
    assert before_run(delivered + 1, returned, max_attempts) == before_run(
        delivered, record, max_attempts
    ) or (record.failures + record.returns >= delivered)


@given(st.integers(1, 10_000), policies, rolls)
def test_backoff_stays_within_its_bounds(failures: int, policy: RetryPolicy, roll: float) -> None:
    delay = backoff(failures, policy, roll)
    assert 0 <= delay <= policy.max_delay
    assert delay <= policy.initial_delay * 2.0 ** min(failures - 1, 64)


def test_backoff_doubles_up_to_the_cap() -> None:
    assert [backoff(failures, POLICY, 1.0) for failures in range(1, 9)] == [5, 10, 20, 40, 80, 160, 300, 300]


@given(st.floats())
def test_a_pause_is_always_bounded(asked: float) -> None:
    assert MIN_HOLD_SECONDS <= hold_seconds(asked) <= MAX_HOLD_SECONDS
