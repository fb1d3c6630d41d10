"""How long one attempt holds a slot, learned from what the broker shows: the service time of Little's law.

Little's law (J. D. C. Little, "A Proof for the Queuing Formula: L = lambda W", Operations Research 9(3),
1961) holds for averages over a time that is long against the service time: ``service time = slots in use /
attempts finished per second``. So both are integrated with a decay that is longer than the service time
itself, and their ratio is taken: a batch of 60 s tasks that started together gives 60 s when it ends, not the
10 s or infinity that a 10 s window alone shows.

What the broker calls in workers' hands (``num_ack_pending``) contains delayed retries, which hold no slot.
The ratio is therefore an upper bound, and exact only while tasks wait for slots. From that:

- a smaller ratio is always believed;
- a larger one is believed only while workers are behind, and then no further than ``slots / completions``.

Without the second rule, retries that wait out their delay look like longer tasks, longer tasks ask for more
workers, and more workers have more slots for the retries to seem to fill: an upward ratchet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from jobrun_operator.core.rates import RATE_WINDOW_SECONDS

_MEMORY_SECONDS = 30.0
_MEMORY_SERVICE_TIMES = 3.0
_LONGEST_GAP_SECONDS = 60.0
_ENOUGH_ATTEMPTS = 0.5
"""One finished attempt, less what rounding and the decay take of it."""
_ENOUGH_ROUNDS = 2.0
"""Attempts that each slot must have finished on average before the first measure: what is still held has used
slots and finished nothing, which after one round is half of the time again, and after two a quarter."""


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """What is known of the service time; a value, replaced at every observation."""

    seconds: float | None = None
    """Seconds of one slot for one attempt, pull and ack included; None before each slot has finished some."""
    slots: float = 0.0
    """Slots in use, smoothed so that it lags as far as a rate over RATE_WINDOW_SECONDS does."""
    slot_seconds: float = 0.0
    """Integral of the slots in use, with decay."""
    attempts: float = 0.0
    """Integral of the attempts finished per second, with the same decay."""
    observed_at: float | None = None

    def observe(self, in_use: float, completion_rate: float, behind: bool, now: float) -> ServiceTime:
        """Learn from ``in_use`` slots, of those that there are, and ``completion_rate`` in attempts/s.

        ``behind``: tasks wait although every worker takes what it can. The first observation, and one after a
        gap, only set the time.
        """
        elapsed = 0.0 if self.observed_at is None else now - self.observed_at
        if not 0 < elapsed <= _LONGEST_GAP_SECONDS:
            return replace(self, slots=in_use if self.observed_at is None else self.slots, observed_at=now)
        slots = in_use + (self.slots - in_use) * math.exp(-2 * elapsed / RATE_WINDOW_SECONDS)
        kept = 1.0  # until there is a measure: how long a memory has to be is not known before
        enough = max(_ENOUGH_ATTEMPTS, _ENOUGH_ROUNDS * slots)
        if self.seconds is not None:
            kept = math.exp(-elapsed / max(_MEMORY_SECONDS, _MEMORY_SERVICE_TIMES * self.seconds))
            enough = _ENOUGH_ATTEMPTS
        slot_seconds = self.slot_seconds * kept + slots * elapsed
        attempts = self.attempts * kept + completion_rate * elapsed
        seconds = self.seconds
        if attempts >= enough and slot_seconds > 0:
            measured = slot_seconds / attempts
            if seconds is None or measured < seconds:
                seconds = measured
            elif behind:
                bound = in_use / completion_rate if completion_rate > 0 else math.inf
                seconds = max(seconds, min(measured, bound))
        return ServiceTime(seconds, slots, slot_seconds, attempts, now)

    def age(self) -> float:
        """Seconds for which what holds a slot has held it, on average, while little has finished: how much longer it
        will take is as likely more as less."""
        held = self.slots + self.attempts
        return self.slot_seconds / held if held > 0 else 0.0

    def pause(self, now: float) -> ServiceTime:
        """Nothing can be learned now: there is no reading, or no worker."""
        return replace(self, observed_at=now)

    def busy(self, in_use: float, completion_rate: float | None) -> float:
        """Slots that hold a running attempt, of ``in_use`` that may: so many as explain the rate.

        Of tasks longer than half the window the rate says too little: then all of ``in_use``.
        """
        if self.seconds is None or completion_rate is None or self.seconds > RATE_WINDOW_SECONDS / 2:
            return in_use
        return min(in_use, completion_rate * self.seconds)
