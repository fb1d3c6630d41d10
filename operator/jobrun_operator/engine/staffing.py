"""The workers of a run: as many as scaling decides, asked for whenever that or the run's spec changes.

A decision that could not be carried out is forgotten and made again at the next look: a scale-up that failed must
not use up ``scaleUp``. One that waits for somebody, who has to allow it or to make the workers' Secret, is made again
after a while only, or when something else is wanted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from jobrun_operator.api import JobRun
from jobrun_operator.core import scaling
from jobrun_operator.core.lifecycle import Fault
from jobrun_operator.core.reasons import Reason
from jobrun_operator.core.scaling import Observation, ScalingHistory
from jobrun_operator.engine.asked import scaling_of
from jobrun_operator.engine.ports import Workers, WorkersState
from jobrun_operator.errors import JobRunError, NotAllowed, SourceUnavailable, TemporaryError

log = logging.getLogger(__name__)

_WAITS_FOR_SOMEBODY = (NotAllowed, SourceUnavailable)
_SOMEBODY_SECONDS = 10.0
"""Before the same is asked for again: a person, or a rule of theirs, does not change within a second."""


class Staffing:
    """``most``: workers at most, whatever the spec says. ``on_scaled`` is told why another number was asked for."""

    def __init__(self, workers: Workers, most: int | None, on_scaled: Callable[[str], None]) -> None:
        self._workers = workers
        self._most = most
        self._on_scaled = on_scaled
        self._history = ScalingHistory()
        self._asked: tuple[int, int] | None = None
        """Replicas and the generation of the run that they were asked for."""
        self._denied: tuple[int, int] | None = None
        """What waited for somebody when it was asked for last."""
        self._denied_until = 0.0
        self.trouble: Fault | None = None
        """Why workers could not be asked for at the last look."""
        self.fault: Fault | None = None
        """Why they can't be started as asked, ever."""

    async def dismiss(self, run: JobRun, state: WorkersState) -> None:
        """No worker is wanted."""
        self._history = self._history.pause(_now())
        await self._ask(run, 0, "Held", state)

    async def keep(self, run: JobRun, state: WorkersState) -> None:
        """As many as there are: nothing is known of the run yet, or nothing of it is to be begun for a while."""
        self._history = self._history.pause(_now())
        await self._ask(run, state.desired, "Unknown", state)

    async def scale(self, run: JobRun, seen: Observation, state: WorkersState) -> None:
        """As many as what was ``seen`` asks for."""
        now = _now()
        decision, history = scaling.decide(scaling_of(run, self._most), seen, self._history, now)
        if await self._ask(run, decision.replicas, decision.reason.value, state):
            self._history = history

    async def _ask(self, run: JobRun, wanted: int, reason: str, state: WorkersState) -> bool:
        """Whether ``wanted`` is what is asked for now."""
        asked = (wanted, run.metadata.generation)
        if asked == self._denied and _now() < self._denied_until:
            return False
        self._denied = None
        anything = wanted or state.desired or state.running  # for no workers, none need to be made
        if anything and (asked != self._asked or state.desired != wanted):
            try:
                await self._workers.scale(run, wanted)
            except TemporaryError as error:
                # It shows in the status, which goes on; asked again at a later look.
                self.trouble = Fault(Reason.WORKERS_FAILED, str(error))
                if isinstance(error, _WAITS_FOR_SOMEBODY):
                    self._denied = asked
                    self._denied_until = _now() + _SOMEBODY_SECONDS
                log.warning("%s/%s: %s", run.namespace, run.name, error)
                return False
            except JobRunError as error:
                self.fault = self.fault or Fault(Reason.WORKERS_FAILED, str(error))
                return False
            self._asked = asked
            if state.desired != wanted:
                self._on_scaled(reason)
        self.trouble = None
        return True


def _now() -> float:
    return asyncio.get_running_loop().time()
