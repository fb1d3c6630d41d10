"""The law of G3, checked on recorded times: in any window of W seconds at most ``rate * W + burst`` tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence


def worst_excess(times: Sequence[float], rate: float, burst: float) -> float:
    """How many tasks more than allowed the worst of all windows holds; 0 or less where the law holds.

    Over all windows that begin and end with a task: ``(j - i + 1) - rate * (t_j - t_i) - burst``, by one pass that
    keeps the least ``i - rate * t_i``.
    """
    worst, least = -math.inf, math.inf
    for position, at in enumerate(sorted(times)):
        least = min(least, position - rate * at)
        worst = max(worst, position + 1 - rate * at - least - burst)
    return worst


def most_in_a_window(times: Sequence[float], seconds: float) -> int:
    """The most tasks of any half-open window of so many seconds."""
    ordered = sorted(times)
    first = most = 0
    for position, at in enumerate(ordered):
        while at - ordered[first] >= seconds:
            first += 1
        most = max(most, position - first + 1)
    return most
