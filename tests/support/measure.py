"""What recorded times say: the most in any window, what exceeds a rate, and from when on a rate is kept or reached.

Times are nanoseconds since the epoch, in ascending order; rates are events per second.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from support.pace import most_in_a_window, worst_excess

SECOND = 1_000_000_000
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00Z")


def nanoseconds(text: str) -> int:
    """RFC 3339 as recorded, with microseconds."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1) * 1000


def most_in_window(times: Sequence[int], seconds: float) -> int:
    """The most events in any half-open window of that length."""
    return most_in_a_window([time / SECOND for time in times], seconds)


def excess(times: Sequence[int], rate: float) -> float:
    """The most by which any window, of whatever length, holds more than ``rate`` times its length: the burst."""
    return worst_excess([(time - times[0]) / SECOND for time in times], rate, 0.0)


def kept_from(times: Sequence[int], rate: float, burst: float) -> int | None:
    """The first event from which on every window keeps to ``rate`` and ``burst``; None where the last one does not."""
    found, most_after = None, float("-inf")
    for number in range(len(times) - 1, -1, -1):
        level = number - rate * (times[number] - times[0]) / SECOND
        most_after = max(most_after, level + 1)
        if most_after - level > burst:
            break
        found = times[number]
    return found


def reached_from(times: Sequence[int], rate: float, seconds: float) -> int | None:
    """The beginning of the first window of that length with 95 % of ``rate``; None where there is none."""
    wanted = max(1, int(0.95 * rate * seconds))
    for first, last in zip(times, times[wanted:], strict=False):
        if last - first <= seconds * SECOND:
            return first
    return None


def average_rate(times: Sequence[int]) -> float:
    """Events per second from the first to the last."""
    return (len(times) - 1) * SECOND / (times[-1] - times[0])
