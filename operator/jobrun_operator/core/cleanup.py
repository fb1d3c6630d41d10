"""What becomes due after a run has ended: freeing what it holds on the broker, and deleting the object.

``cleanupSecondsAfterFinished`` frees streams, results and Deployment and keeps the object; ``ttlSecondsAfterFinished``
deletes the object, as ``batch/v1`` Job's does. Both count from ``completionTime``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobrun_operator.api import JobRun


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done now, and the seconds until more will be; None: nothing more."""

    free: bool
    delete: bool
    again_in: float | None


def due(run: JobRun, *, freed: bool, now: datetime) -> Due:
    """``freed``: the run's streams and Deployment are gone already. A run that has not ended has nothing due."""
    ended = run.status.completion_time
    if ended is None:
        return Due(free=False, delete=False, again_in=None)
    age = (now - ended).total_seconds()
    ttl = run.spec.ttl_seconds_after_finished
    left = []
    if not freed:
        left.append(run.spec.cleanup_seconds_after_finished - age)
    free = bool(left) and left[0] <= 0
    delete = ttl is not None and ttl - age <= 0
    if ttl is not None:
        left.append(ttl - age)
    waits = [seconds for seconds in left if seconds > 0]
    return Due(free=free, delete=delete, again_in=min(waits) if waits and not delete else None)
