"""The circuit breaker of one run: told how attempts fare, it raises a hold when too many fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from jobrun_operator.api import JobRun
from jobrun_operator.core import breaker
from jobrun_operator.core.breaker import Breaker, BreakerSettings
from jobrun_operator.core.counts import Counts
from jobrun_operator.engine.ports import Holds
from jobrun_worker.holding import CIRCUIT_BREAKER, Wish
from jobrun_worker.wire import Pulse

log = logging.getLogger(__name__)

_ERROR_LENGTH = 200


class Breaking:
    """Remembers the attempts of the last seconds, and nothing else: what is held stands in the record of the hold."""

    def __init__(self, holds: Holds, wake: Callable[[], None], on_tripped: Callable[[], None]) -> None:
        """``wake`` is called when it has tripped, to have ``act`` called; ``on_tripped`` when the hold is raised."""
        self._holds = holds
        self._wake = wake
        self._on_tripped = on_tripped
        self._breaker = Breaker()
        self._why = ""

    def hear(self, run: JobRun, pulse: Pulse) -> None:
        """A worker of ``run`` has told of its attempts."""
        settings = settings_of(run)
        if settings is None or self._why:
            return
        self._breaker, why = breaker.after(self._breaker, pulse, settings, asyncio.get_running_loop().time())
        if why:
            last = f"; the last error: {pulse.error[:_ERROR_LENGTH]}" if pulse.error else ""
            self._why = why + last
            self._wake()

    async def act(self, run: JobRun, counts: Counts) -> bool:
        """Hold the run where it has tripped; returns whether it did. Raises JobRunError where the broker can't be
        asked: call it again.

        At the end of a run, when all are released and taken, what is left are those that have failed before, which
        come one after the other: that says nothing about the partner.
        """
        if not self._why:
            return False
        at_its_end = counts.released >= counts.total and not counts.waiting
        trips = settings_of(run) is not None and not at_its_end
        if trips:
            seconds = float(run.spec.circuit_breaker.open_seconds)
            await self._holds.hold(run.uid, seconds, Wish(CIRCUIT_BREAKER, self._why, seconds))
            log.warning("%s/%s: held for %g s: %s", run.namespace, run.name, seconds, self._why)
            self._on_tripped()
        self._breaker, self._why = Breaker(), ""
        return trips


def settings_of(run: JobRun) -> BreakerSettings | None:
    """None: the run has none."""
    spec = run.spec.circuit_breaker
    if not spec.enabled:
        return None
    return BreakerSettings(
        consecutive_failures=spec.consecutive_failures,
        failure_percent=spec.failure_percent,
        window_seconds=float(spec.window_seconds),
        minimum_attempts=spec.minimum_attempts,
    )
