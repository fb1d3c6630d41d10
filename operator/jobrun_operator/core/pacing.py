"""How many tasks may be released now: the token bucket and the back-pressure, as pure functions.

The promise (G3): in any window of W seconds at most ``rate * W + burst`` tasks are released, by the broker's
own clock. Three rules carry it:

* The bucket is empty at start, at resume and at a change of rate, and refills at ``rate`` up to ``burst``.
* A batch is charged when its storing was *seen* (the acknowledgement, or a later look at ``last_seq``), never
  when it was decided. Charging later than the event is the safe side: between the event and the charge the
  bucket can only have stood at its cap for longer, so the level is never more than that of a bucket charged
  at the event itself.
* What is charged is the growth of ``last_seq``, whoever caused it, so two engines share one bucket's worth.

Two more keep to it what workers *call*, not only what is released to them. A paced run that begins or goes on with no
worker at hand waits for the first one, for ``FIRST_WORKER_SECONDS`` at most: what is released to nobody is called
all at once, whatever the rate was that it was released at. And where tasks have waited for a worker all the same, the
bucket holds the less when it comes, so that their calls are part of the burst.

Where back-pressure held for so long that the bucket would be full, what waited is charged once more: the calls of
workers that come back follow the rate, instead of coming on top of it.

Deliveries that are not a task's first are charged as they are seen, and may leave the bucket in debt: then
releasing waits until the debt is paid, so that calls keep to the rate on average.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobrun_operator.api import LimitedBy

MAX_BATCH = 1000
"""Messages of one atomic batch, the server's limit (ADR-50)."""

TICK = 0.02
"""Seconds of rate that are gathered into one batch, where the burst allows it: fewer round trips."""

LONG_HOLD = 1.0
"""Seconds; after back-pressure that held for longer, what still waits is charged a second time: workers that come back
call it at once, and their calls are to follow the rate, not to come on top of it."""

FIRST_WORKER_SECONDS = 5.0
"""How long a paced run waits for a first worker before it releases all the same: longer than a process takes to start.
Where a worker takes longer (an image to be pulled), what has come to wait is bounded by ``maxWaiting``, and settled for
by ``after_first_worker``."""

_FIRST_LOOK_SHARE = 0.75
"""Of the time until the rate allows the next task, what passes before room for it is looked for."""

_WHOLE = 1e-9
"""Tolerance for "a whole token": a sum of floats that should be 1 may be a hair less."""


@dataclass(frozen=True, slots=True)
class Rate:
    """``per_second`` in tasks/s, more than 0; ``burst`` in tasks, at least 1."""

    per_second: float
    burst: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """``level`` tokens at time ``at`` (seconds of a monotonic clock); negative is debt."""

    level: float
    at: float

    @classmethod
    def empty(cls, now: float) -> Bucket:
        return cls(level=0.0, at=now)

    def level_at(self, rate: Rate, now: float) -> float:
        return min(rate.burst, self.level + max(0.0, now - self.at) * rate.per_second)

    def refilled(self, rate: Rate, now: float) -> Bucket:
        return Bucket(self.level_at(rate, now), now)

    def charged(self, tasks: int) -> Bucket:
        return Bucket(self.level - tasks, self.at)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the spec allows. ``rate`` None: as fast as the workers keep up."""

    total: int
    rate: Rate | None
    max_waiting: int
    max_outstanding: int


@dataclass(frozen=True, slots=True)
class Stock:
    """What is known of the stream: upper bounds, since tasks may have left it after the last look."""

    released: int
    waiting: int
    outstanding: int


@dataclass(frozen=True, slots=True)
class Release:
    """Release ``count`` tasks now. With none to release, ``wait`` is the seconds until the rate allows some, 0 where
    there is no rate, and None where all are released."""

    count: int
    limited_by: LimitedBy
    wait: float | None = None


def room(limits: Limits, stock: Stock) -> int:
    """Tasks that back-pressure lets through; 0 or less holds."""
    return min(limits.max_outstanding - stock.outstanding, limits.max_waiting - stock.waiting)


def first_look_for_room(full_since: float, due: float) -> float:
    """When to look for room that has been full since ``full_since``, where the rate allows the next task at ``due``.

    Workers take most tasks within milliseconds, and other looks may see it: room is looked for when three quarters of
    the time have passed, so that it is found before it is of use and no more often.
    """
    return full_since + _FIRST_LOOK_SHARE * (due - full_since)


def after_hold(bucket: Bucket, rate: Rate, waited: int, since: float, now: float) -> Bucket:
    """The bucket when back-pressure ends at ``now`` that has held ``since`` then, with ``waited`` tasks behind it.

    Those are charged once more after a time in which the bucket filled anyhow: returning workers call them at once,
    and with what the bucket holds that would be more than a burst. A slow run, where one task waits for a worker to
    start before the next is due, keeps what it has earned, and its rate.
    """
    if now - since < max(LONG_HOLD, rate.burst / rate.per_second):
        return bucket
    return bucket.refilled(rate, now).charged(waited)


def first_worker_wait(limits: Limits, stock: Stock, since: float, now: float) -> float:
    """Seconds for which releasing still waits for a first worker, where none has been at hand ``since`` then."""
    if limits.rate is None or stock.released >= limits.total:
        return 0.0
    return max(0.0, since + FIRST_WORKER_SECONDS - now)


def after_first_worker(bucket: Bucket, rate: Rate, waited: int, now: float) -> Bucket:
    """The bucket when the first worker comes at ``now`` and finds ``waited`` tasks, which it calls at once: they and
    what the bucket holds are one burst together."""
    return Bucket(min(bucket.level_at(rate, now), rate.burst - waited), now)


def permits(rate: Rate | None, bucket: Bucket, most: int, now: float) -> tuple[int, Bucket]:
    """How many retries may be begun at ``now``, and the bucket after them; without a rate ``most``."""
    if rate is None:
        return most, bucket
    bucket = bucket.refilled(rate, now)
    count = min(most, max(0, int(bucket.level + _WHOLE)))
    return count, bucket.charged(count)


def decide(limits: Limits, stock: Stock, bucket: Bucket, now: float) -> Release:
    """How many tasks to release at ``now``, at most one batch, and what keeps it from being more."""
    left = limits.total - stock.released
    if left <= 0:
        return Release(0, LimitedBy.ALL_RELEASED)
    outstanding_room = limits.max_outstanding - stock.outstanding
    waiting_room = limits.max_waiting - stock.waiting
    most = min(left, outstanding_room, waiting_room, MAX_BATCH)
    full = LimitedBy.OUTSTANDING if outstanding_room <= 0 else LimitedBy.WAITING
    rate = limits.rate
    if rate is None:
        if most <= 0:
            return Release(0, full, wait=0.0)
        return Release(most, LimitedBy.OUTSTANDING if outstanding_room < waiting_room else LimitedBy.WAITING)
    level = bucket.level_at(rate, now)
    wanted = max(1, int(min(rate.per_second * TICK, rate.burst / 2)))
    if most <= 0:  # how much room there will be is not known
        return Release(0, full, wait=max(0.0, (wanted - level) / rate.per_second))
    wanted = min(wanted, most)
    if level + _WHOLE < wanted:
        return Release(0, LimitedBy.RATE, wait=(wanted - level) / rate.per_second)
    return Release(min(most, int(level + _WHOLE)), LimitedBy.RATE)
