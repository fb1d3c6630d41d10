"""JobRun's scaling in simulated time: ``core.scaling`` as ``engine.run`` and ``engine.staffing`` use it.

A look at the run every second, and at once when tasks come into an empty stream and when the manifest is
edited. Rates are measured over the windows of ``engine.looking``. Between a look and what follows from it
passes the time that reading the streams and patching a Deployment take.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.scaling.clock import Clock
from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.releaser import PacedRelease
from benchmarks.scaling.work import Work
from jobrun_operator.core import scaling
from jobrun_operator.core.rates import RateWindow
from jobrun_operator.core.scaling import Observation, ScalingHistory, ScalingSettings

INTERVAL = 1.0
"""``EngineSettings.interval``."""

APPLY_SECONDS = 0.1
"""For reading, and for patching a Deployment."""

RELEASED_SECONDS = 5.0
"""The window of ``engine.looking`` for releases; that for attempts is RATE_WINDOW_SECONDS."""


class JobRunScaling:
    """``asked_rate`` tells the rate of the manifest as it is now."""

    def __init__(
        self,
        clock: Clock,
        fleet: Fleet,
        work: Work,
        release: PacedRelease,
        settings: ScalingSettings,
        asked_rate: Callable[[], float | None],
    ) -> None:
        self._clock, self._fleet, self._work, self._release = clock, fleet, work, release
        self._settings, self._asked_rate = settings, asked_rate
        self._history = ScalingHistory()
        self._releases, self._attempts = RateWindow(RELEASED_SECONDS), RateWindow()
        self._acting = self._woken = False
        self._planned = 0
        self._plan(0.0)

    def wake(self) -> None:
        """Look at once, or when what is under way is done."""
        self._woken = True
        if not self._acting:
            self._plan(0.0)

    def _plan(self, seconds: float) -> None:
        self._planned += 1
        number = self._planned
        self._clock.after(seconds, lambda: self._look() if number == self._planned else None)

    def _look(self) -> None:
        self._acting, self._woken = True, False
        self._release.look()
        decision, self._history = scaling.decide(
            self._settings, self._observation(), self._history, self._clock.now
        )
        self._clock.after(APPLY_SECONDS, lambda: self._apply(decision.replicas))

    def _apply(self, replicas: int) -> None:
        self._fleet.scale(replicas)
        self._acting = False
        self._plan(0.0 if self._woken else INTERVAL)

    def _observation(self) -> Observation:
        work, now = self._work, self._clock.now
        self._releases.add(now, work.released)
        self._attempts.add(now, work.attempts)
        return Observation(
            asked_rate=self._asked_rate(),
            release_rate=self._releases.rate(now) or 0.0,
            waiting=work.waiting,
            outstanding=work.outstanding,
            completion_rate=self._attempts.rate(now),
            running=work.held,
            replicas=self._fleet.replicas,
            ready=self._fleet.ready,
            more_to_release=work.released < work.total,
            remaining=work.total - work.released,
            awaits_worker=self._release.awaits_worker,
        )
