"""The ``StatusWriter`` port over another one, that also tells people what is in a run's way.

A transition has its Event from the engine. A trouble that passes again is no transition: it shows in the condition
Ready, and its beginning is told here, when the status that has it was stored.
"""

from __future__ import annotations

from jobrun_operator.api import ConditionType, JobRun, JobRunStatus, Phase
from jobrun_operator.core.reasons import Reason
from jobrun_operator.engine.ports import StatusWriter
from jobrun_operator.kubernetes.events import KubeEvents

_TROUBLES = {Reason.SOURCE_UNAVAILABLE, Reason.BROKER_UNAVAILABLE, Reason.WORKERS_FAILED}


class AnnouncedStatuses:
    def __init__(self, statuses: StatusWriter, events: KubeEvents) -> None:
        self._statuses = statuses
        self._events = events

    async def write(self, run: JobRun, status: JobRunStatus) -> JobRun:
        stored = await self._statuses.write(run, status)
        told = new_trouble(run.status, stored.status)
        if told is not None:
            reason, message = told
            await self._events.try_publish(stored, reason=reason, message=message, warning=True)
        return stored

    async def read(self, run: JobRun) -> JobRun:
        return await self._statuses.read(run)


def new_trouble(before: JobRunStatus, now: JobRunStatus) -> tuple[str, str] | None:
    """(reason, message) of what keeps the run from being Ready now and did not before. Numbers in a message change
    all the time: the same reason is the same trouble."""
    after = now.condition(ConditionType.READY)
    if (
        after is None
        or after.is_true
        or after.reason not in _TROUBLES
        or now.phase in (Phase.COMPLETED, Phase.FAILED)
    ):
        return None
    earlier = before.condition(ConditionType.READY)
    if earlier is not None and not earlier.is_true and earlier.reason == after.reason:
        return None
    return after.reason, after.message
