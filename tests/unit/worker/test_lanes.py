"""The accounting of pull requests against a broker that answers in any order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jobrun_worker.lanes import Lane


class Pulling(RuleBasedStateMachine):
    """A lane and what the broker still owes it."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = Lane(0)
        self.owed = 0
        self.stale = 0

    @precondition(lambda self: not self.lane.remaining)
    @rule(batch=st.integers(1, 100))
    def ask(self, batch: int) -> None:
        self.lane.open(batch, 0)
        self.owed = batch

    @precondition(lambda self: self.owed)
    @rule()
    def deliver(self) -> None:
        self.lane.messages(1, 0)
        self.owed -= 1

    @precondition(lambda self: self.owed)
    @rule()
    def expire(self) -> None:
        assert self.lane.end(self.lane.request)
        self.owed = 0

    @rule(age=st.integers(1, 5))
    def status_of_an_earlier_request(self, age: int) -> None:
        assert not self.lane.end(self.lane.request - age)

    @rule()
    def late_task_of_a_request_that_ended(self) -> None:
        if not self.owed:
            self.lane.messages(1, 0)

    @invariant()
    def asked_for_is_what_is_owed(self) -> None:
        assert self.lane.remaining == self.owed


TestPulling = Pulling.TestCase


def test_a_lane_is_silent_only_while_a_request_is_in_flight() -> None:
    lane = Lane(0)
    assert not lane.silent(100, 5)
    lane.open(2, 100)
    assert not lane.silent(105, 5)
    assert lane.silent(105.1, 5)
    lane.heartbeat(lane.request, 104)
    assert not lane.silent(109, 5)
    lane.heartbeat(lane.request - 1, 200)
    assert lane.silent(109.1, 5)
    lane.messages(1, 110)
    lane.messages(1, 110)
    assert not lane.silent(1000, 5)
