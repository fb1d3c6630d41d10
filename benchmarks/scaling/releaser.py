"""Who releases the tasks, and when.

``PacedRelease`` is the run's own fast loop in simulated time: the decisions are ``core.pacing``'s, what is
known of the stream is as old as the last look at it, as in ``engine.releaser``. ``Producer`` is what takes its
place where there is no JobRun: a script that publishes each task when it is due and never looks at the workers.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.scaling.clock import Clock
from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.work import Work
from jobrun_operator.api import LimitedBy
from jobrun_operator.core import pacing
from jobrun_operator.core.pacing import Bucket, Limits, Stock

LOOK_SECONDS = 0.25
"""Between two looks while releasing is held: the longest that ``engine.releaser`` waits."""

STORED_PER_SECOND = 50_000
"""Tasks stored by batches of 1000: what the broker takes where no rate is asked for."""


class PacedRelease:
    """``on_first`` is called when tasks were released into a stream that had none."""

    def __init__(self, clock: Clock, work: Work, fleet: Fleet, on_first: Callable[[], None]) -> None:
        self._clock, self._work, self._fleet, self._on_first = clock, work, fleet, on_first
        self._limits: Limits | None = None
        self._bucket = Bucket.empty(0.0)
        self._alone_since: float | None = None
        self._held_since: float | None = None
        self._sought = 0.0
        self._waited = 0
        self._repeats = 0
        self._seen_released = self._seen_waiting = self._seen_outstanding = 0
        self._planned = 0
        """Only the newest plan counts."""

    @property
    def awaits_worker(self) -> bool:
        return self._alone_since is not None and self._work.released < self._work.total

    def limit(self, limits: Limits) -> None:
        """Act on other limits; the bucket is empty after a change of rate."""
        now, before = self._clock.now, self._limits
        self._limits = limits
        if before is None or before.rate != limits.rate:
            self._bucket, self._held_since = Bucket.empty(now), None
        if before is None and limits.rate is not None:
            self._alone_since = now
        self._plan(0.0)

    def look(self) -> None:
        """See the stream as it is now: what waits, what was delivered again, whether a worker pulls."""
        work, now = self._work, self._clock.now
        waited = self._stock().waiting
        self._seen_released, self._seen_waiting = work.released, work.waiting
        self._seen_outstanding = work.outstanding
        rate = self._limits.rate if self._limits else None
        if rate is None:
            return
        if self._alone_since is not None and self._fleet.ready:
            self._begin_with_worker(waited)
        growth, self._repeats = work.repeats - self._repeats, work.repeats
        self._bucket = self._bucket.refilled(rate, now).charged(growth)

    def _begin_with_worker(self, waited: int) -> None:
        now, limits = self._clock.now, self._limits
        assert limits is not None
        assert limits.rate is not None
        assert self._alone_since is not None
        if pacing.first_worker_wait(limits, self._stock(), self._alone_since, now) > 0:
            self._bucket = Bucket.empty(now)
        self._alone_since = None
        self._bucket = pacing.after_first_worker(self._bucket, limits.rate, waited, now)
        self._plan(0.0)

    def _stock(self) -> Stock:
        since = self._work.released - self._seen_released
        return Stock(self._work.released, self._seen_waiting + since, self._seen_outstanding + since)

    def _plan(self, seconds: float) -> None:
        self._planned += 1
        number = self._planned
        self._clock.after(seconds, lambda: self._go_on() if number == self._planned else None)

    def _go_on(self) -> None:
        limits, now = self._limits, self._clock.now
        assert limits is not None
        if self._alone_since is not None:
            left = pacing.first_worker_wait(limits, self._stock(), self._alone_since, now)
            if left > 0:
                self._plan(min(left, LOOK_SECONDS))
                self.look()
                return
            if now - self._sought >= LOOK_SECONDS:
                self._sought = now
                self._plan(0.0)
                self.look()
                return
        else:
            self._notice_hold(limits, now)
        release = pacing.decide(limits, self._stock(), self._bucket, now)
        if release.count:
            self._release(limits, release.count)
        elif release.limited_by in (LimitedBy.WAITING, LimitedBy.OUTSTANDING):
            self._plan(LOOK_SECONDS)
            self.look()
            self._waited = self._stock().waiting
        elif release.limited_by == LimitedBy.RATE:
            assert release.wait is not None
            self._plan(release.wait if self._alone_since is None else min(release.wait, LOOK_SECONDS))

    def _release(self, limits: Limits, count: int) -> None:
        was_empty = not self._stock().outstanding
        self._work.release(count)
        if limits.rate is not None:
            self._bucket = self._bucket.refilled(limits.rate, self._clock.now).charged(count)
        self._plan(0.0 if limits.rate is not None else count / STORED_PER_SECOND)
        if was_empty:
            self._on_first()

    def _notice_hold(self, limits: Limits, now: float) -> None:
        if pacing.room(limits, self._stock()) <= 0:
            self._held_since = now if self._held_since is None else self._held_since
        elif self._held_since is not None:
            since, self._held_since = self._held_since, None
            if limits.rate is not None:
                self._bucket = pacing.after_hold(self._bucket, limits.rate, self._waited, since, now)


class Producer:
    """Each task when it is due, whatever the workers do."""

    def __init__(self, clock: Clock, work: Work, due: list[float]) -> None:
        self._clock, self._work, self._due = clock, work, due
        self._plan()

    def _plan(self) -> None:
        if self._work.released < self._work.total:
            self._clock.at(self._due[self._work.released], self._release)

    def _release(self) -> None:
        count = 1
        while (
            self._work.released + count < self._work.total
            and self._due[self._work.released + count] <= self._clock.now
        ):
            count += 1
        self._work.release(count)
        self._plan()
