"""Rates of cumulative counters: how releases and finished attempts per second are measured.

A broker counts upwards (``last_seq``, deliveries); a decision needs tasks per second now. A ``RateWindow``
keeps the readings of the last few seconds and divides the growth by the time between the oldest and the
newest of them: a boxcar average, whose value lags the truth by half its length. A counter that goes back (a
broker that lost its tail, a stream made again) counts as no growth from there on, never as a negative rate.
"""

from __future__ import annotations

from collections import deque

RATE_WINDOW_SECONDS = 10.0
"""Long enough that a release every second doesn't show as a wave, short enough to follow a change."""


class RateWindow:
    """The growth per second of a cumulative counter over a sliding window. No clock of its own."""

    def __init__(self, window_seconds: float = RATE_WINDOW_SECONDS) -> None:
        """``window_seconds`` must be above 0; raises ValueError otherwise."""
        if not window_seconds > 0:
            raise ValueError(f"a rate needs a window above 0 s, not {window_seconds}")
        self._window = window_seconds
        self._readings: deque[tuple[float, float]] = deque()  # (time, growth since the first reading)
        self._last_total = 0.0

    def add(self, now: float, total: float) -> None:
        """Take the counter's reading ``total`` at ``now`` (seconds of any clock that doesn't go back).

        A reading from before the newest one is not used; a second one for the same time replaces the first.
        """
        if not self._readings:
            self._readings.append((now, 0.0))
            self._last_total = total
            return
        newest, growth = self._readings[-1]
        if now < newest:
            return
        growth += max(0.0, total - self._last_total)
        self._last_total = total
        if now == newest:
            self._readings.pop()
        self._readings.append((now, growth))
        self._forget(now)

    def rate(self, now: float) -> float | None:
        """Growth per second; None before two readings, and where the newest is older than the window."""
        self._forget(now)
        if len(self._readings) < 2:
            return None
        (oldest, before), (newest, after) = self._readings[0], self._readings[-1]
        if now - newest > self._window:
            return None
        return (after - before) / (newest - oldest)

    def _forget(self, now: float) -> None:
        """Drop what is older than the window, but for the last such reading: the rate begins there."""
        while len(self._readings) > 2 and self._readings[1][0] <= now - self._window:
            self._readings.popleft()
