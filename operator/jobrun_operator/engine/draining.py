"""When a run that has ended needs no more looks: its workers are gone, or can't be waited for any longer.

A pod on a node that is lost stays Terminating for ever, and nobody can say whether it still works. Of a run that is
complete it has nothing left to do, so a while is enough, and clean-up and time to live go on. Of one that failed it may
be at a task: that one is waited for until somebody says that it is gone.
"""

from __future__ import annotations

from jobrun_operator.api import Phase
from jobrun_operator.engine.ports import WorkersState

MOST_SECONDS = 60.0
"""For which the workers of a run that is complete are waited for; without a task they end within a few."""


class Draining:
    """Of one run, by a clock in seconds that is handed in."""

    def __init__(self) -> None:
        self._since: float | None = None
        """When the run was first seen to have ended and to ask for no worker."""

    def is_over(self, phase: Phase, workers: WorkersState, now: float) -> bool:
        if not phase.is_final or workers.desired:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return not workers.running or (phase == Phase.COMPLETED and now - self._since >= MOST_SECONDS)
