"""G3 as a law: whatever acknowledgements, timers, pauses, changes of rate, other engines and workers do, no window of
the broker's own times holds more than ``rate * W + burst`` tasks, and no token is lost on the way.

The run is simulated as the releaser drives it: decide, store, charge when it is seen; sleep as long as told, and late.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrun_operator.core.pacing import Bucket, Limits, Rate, Stock, decide
from support.pace import worst_excess

ROUNDING = 1e-3


@dataclass
class Broker:
    """Times at which tasks were stored; ``waiting`` of them not yet taken."""

    times: list[float] = field(default_factory=list)
    waiting: int = 0
    outstanding: int = 0
    worst_waiting: int = 0
    worst_outstanding: int = 0

    def store(self, count: int, at: float) -> None:
        self.times += [at] * count
        self.waiting += count
        self.outstanding += count
        self.worst_waiting = max(self.worst_waiting, self.waiting)
        self.worst_outstanding = max(self.worst_outstanding, self.outstanding)

    def work(self, taken: int, ended: int) -> None:
        self.waiting -= min(taken, self.waiting)
        self.outstanding -= min(ended, self.outstanding - self.waiting)


@dataclass
class Run:
    """``jitter()`` and ``delay()`` give seconds: how late a timer is, how long each way to the broker takes."""

    limits: Limits
    jitter: Callable[[], float]
    delay: Callable[[], float]
    broker: Broker = field(default_factory=Broker)
    now: float = 0.0
    bucket: Bucket = field(default_factory=lambda: Bucket.empty(0.0))
    seen: int = 0
    repeats: int = 0

    def ask(self, rate: Rate) -> None:
        self.limits = Limits(self.limits.total, rate, self.limits.max_waiting, self.limits.max_outstanding)
        self.bucket = Bucket.empty(self.now)

    def charge(self) -> None:
        """What is new at the broker is seen now."""
        assert self.limits.rate is not None
        growth, self.seen = len(self.broker.times) - self.seen, len(self.broker.times)
        self.bucket = self.bucket.refilled(self.limits.rate, self.now).charged(growth + self.repeats)
        self.repeats = 0

    def step(self) -> None:
        """One turn of the release loop."""
        stock = Stock(self.seen, self.broker.waiting, self.broker.outstanding)
        release = decide(self.limits, stock, self.bucket, self.now)
        if not release.count:
            self.now += (0.02 if release.wait is None else release.wait) + self.jitter()
            return
        expected = self.seen
        self.now += self.delay()
        if len(self.broker.times) == expected:  # else refused: somebody else was there first
            self.broker.store(release.count, self.now)
        self.now += self.delay()
        self.charge()


_SECONDS = st.floats(0, 0.2)
_RATES = st.builds(
    lambda per_second, seconds: Rate(per_second, max(1.0, float(int(per_second * seconds)))),
    st.floats(0.2, 3000),
    st.sampled_from([0.001, 0.1, 1.0, 3.0]),
)


@settings(max_examples=60, deadline=None)
@given(
    rates=st.lists(_RATES, min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
    late=_SECONDS,
    slow=_SECONDS,
    elsewhere=st.floats(0, 0.2),
    max_waiting=st.integers(1, 5000),
    max_outstanding=st.integers(1, 5000),
)
def test_no_window_holds_more_than_the_rate_and_a_burst(
    rates: list[Rate],
    seed: int,
    late: float,
    slow: float,
    elsewhere: float,
    max_waiting: int,
    max_outstanding: int,
) -> None:
    chance = random.Random(seed)
    run = Run(
        Limits(10**9, rates[0], max_waiting, max_outstanding),
        jitter=lambda: chance.uniform(0, late),
        delay=lambda: chance.uniform(0, slow),
    )
    for rate in rates:
        run.ask(rate)
        start = len(run.broker.times)
        for _ in range(150):
            run.step()
            if chance.random() < elsewhere:
                _release_elsewhere(run, chance)
            if chance.random() < 0.02:  # suspended for a while
                run.now += chance.uniform(0, 60)
                run.seen = len(run.broker.times)
                run.bucket = Bucket.empty(run.now)
            if chance.random() < 0.1:
                run.repeats = chance.randrange(20)
                run.charge()
            run.broker.work(chance.randrange(50), chance.randrange(50))
        assert worst_excess(run.broker.times[start:], rate.per_second, rate.burst) < ROUNDING
    assert run.broker.worst_waiting <= max_waiting
    assert run.broker.worst_outstanding <= max_outstanding


def _release_elsewhere(run: Run, chance: random.Random) -> None:
    """Another engine, by the same rules from the same broker; this one has not seen it yet."""
    assert run.limits.rate is not None
    stock = Stock(len(run.broker.times), run.broker.waiting, run.broker.outstanding)
    run.charge()
    release = decide(run.limits, stock, run.bucket, run.now)
    if release.count:
        run.broker.store(chance.randint(1, release.count), run.now)


@pytest.mark.parametrize("per_second", [0.5, 7 / 90, 1.9, 10.0, 333.3, 5000.0])
def test_no_token_is_lost(per_second: float) -> None:
    """With the timers and answers of an idle machine the whole release takes the time that was asked for."""
    chance = random.Random(1)
    total = max(100, int(per_second * 30))
    rate = Rate(per_second, max(1.0, float(int(per_second))))
    run = Run(
        Limits(total, rate, total, total),
        jitter=lambda: chance.uniform(0, 0.002),
        delay=lambda: chance.uniform(0, 0.001),
    )
    while len(run.broker.times) < total:
        run.step()
    assert run.broker.times[-1] == pytest.approx(total / per_second, rel=0.01)
    assert worst_excess(run.broker.times, per_second, rate.burst) < ROUNDING


def test_a_million_ticks_do_not_drift() -> None:
    rate, now, released = Rate(700 / 60, 11.0), 1e7, 0
    bucket = Bucket.empty(now)
    limits = Limits(10**9, rate, 10**9, 10**9)
    for tick in range(1, 1_000_001):
        now = 1e7 + tick * 0.0857
        release = decide(limits, Stock(released, 0, 0), bucket, now)
        if release.count:
            released += release.count
            bucket = bucket.refilled(rate, now).charged(release.count)
        else:
            bucket = bucket.refilled(rate, now)
    assert released == pytest.approx((now - 1e7) * rate.per_second, abs=1)
