"""How often a run is looked at, so that what all looks cost together has a bound. Pure.

A look at a run is a handful of requests to the broker and a status to render. What must act at once (an edit, a hold,
the first release to a run without workers) wakes its run by itself; everything else bears a look that is some seconds
later. So from some number of runs on each is looked at less often, and what a process spends on looking stays as it is.
"""

from __future__ import annotations

LOOKS_PER_SECOND = 250.0
"""At all runs together, about: a quarter of a core (docs/performance.md)."""

MOST_SECONDS = 4.5
"""Between two looks at a run, whatever the number of runs: with the time that a look takes, a live status is then at
most 5 seconds old."""

_PLACES_PER_SECOND = 50
"""Runs at the same place are looked at together: their requests are written, and their answers read, at once."""

SELDOM_RUNS = 100
"""From so many runs on, what is looked at beside is stretched."""


def interval(asked: float, runs: int) -> float:
    """Seconds between two looks at one of ``runs`` runs, where ``asked`` is what the settings ask for."""
    return max(asked, min(MOST_SECONDS, runs / LOOKS_PER_SECOND))


def seldom(asked: float, runs: int) -> float:
    """Seconds between two looks at what seldom shows anything new, which are made on top of the others."""
    return asked * max(1.0, runs / SELDOM_RUNS)


def rest(asked: float, runs: int, phase: float, now: float) -> float:
    """Seconds from ``now`` until the next look at a run.

    Where looks are stretched each run has its place in the interval, by its ``phase`` (from 0 to less than 1): runs
    that began together, as all do when the operator starts, would else be looked at together for ever.
    """
    seconds = interval(asked, runs)
    if seconds <= asked:
        return asked
    place = int(phase * seconds * _PLACES_PER_SECOND) / _PLACES_PER_SECOND
    return seconds - (now - place) % seconds
