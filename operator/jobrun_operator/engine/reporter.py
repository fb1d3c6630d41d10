"""Tells the world about one run: transitions in an order that survives a crash, and progress at a bearable pace."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import datetime

from jobrun_operator.api import ConditionType, JobRun, JobRunStatus
from jobrun_operator.core import reporting
from jobrun_operator.core.lifecycle import Transition
from jobrun_operator.core.reasons import Reason
from jobrun_operator.engine.ports import Audit, AuditRecord, Events, LiveStatus, RunRef, StatusWriter
from jobrun_operator.errors import JobRunError

log = logging.getLogger(__name__)


class Reporter:
    """Remembers when it last wrote what, and nothing else."""

    def __init__(
        self,
        run: RunRef,
        *,
        audit: Audit,
        statuses: StatusWriter,
        events: Events,
        live: LiveStatus,
        live_interval: float,
    ) -> None:
        self._run = run
        self._audit = audit
        self._statuses = statuses
        self._events = events
        self._live = live
        self._live_interval = live_interval
        """Seconds between two writes of the live status."""
        self._written_at = self._shown_at = float("-inf")
        self._shown: JobRunStatus | None = None

    async def transition(
        self, run: JobRun, status: JobRunStatus, transition: Transition, now: datetime
    ) -> JobRun:
        """Audit record, then the status, then the Event; returns the run as stored.

        A crash between them repeats what came before it: the record has the same id again, so it is kept once.
        Raises Conflict where somebody else has written the run: it is to be decided again.
        """
        record = AuditRecord(
            id=audit_id(run, transition),
            run=self._run,
            type=transition.reason.value,
            message=transition.message,
            time=now.isoformat(),
            phase=transition.phase.value,
        )
        await self._audit.record(record)
        stored = await self._write(run, status)
        self._shown_at = float("-inf")  # who watches hears of it at once
        with contextlib.suppress(JobRunError):
            await self._events.publish(
                stored, reason=transition.reason.value, message=transition.message, warning=transition.warning
            )
        log.info("%s/%s: %s: %s", run.namespace, run.name, transition.reason.value, transition.message)
        return stored

    async def record(self, run: JobRun, id_: str, reason: Reason, message: str, now: datetime) -> None:
        """Keep for the record what is no transition, before the status says it."""
        phase = run.status.phase.value if run.status.phase else ""
        await self._audit.record(
            AuditRecord(f"{run.uid}.{id_}", self._run, reason.value, message, now.isoformat(), phase)
        )
        self._shown_at = float("-inf")

    async def announce(self, run: JobRun, reason: Reason, message: str) -> None:
        """Tell people of it, after the status says it; best effort."""
        with contextlib.suppress(JobRunError):
            await self._events.publish(run, reason=reason.value, message=message, warning=False)
        log.info("%s/%s: %s: %s", run.namespace, run.name, reason.value, message)

    async def report(self, run: JobRun, status: JobRunStatus, *, last: bool) -> JobRun:
        """Show and write ``status`` where that is due; returns the run as stored. ``last``: no other one follows, so
        a change is due at any time."""
        clock = asyncio.get_running_loop().time()
        if status != self._shown and (last or clock - self._shown_at >= self._live_interval):
            try:
                await self._live.put(self._run, status)
            except JobRunError as error:  # a broker that is away must not keep the resource from saying so
                log.debug("%s/%s: no live status: %s", run.namespace, run.name, error)
            else:
                self._shown, self._shown_at = status, clock
        if (last and status != run.status) or reporting.worth_writing(
            run.status, status, clock - self._written_at
        ):
            return await self._write(run, status)
        return run

    async def _write(self, run: JobRun, status: JobRunStatus) -> JobRun:
        stored = await self._statuses.write(run, status)
        self._written_at = asyncio.get_running_loop().time()
        return stored


def audit_id(run: JobRun, transition: Transition) -> str:
    """The same for the same transition, whoever decides on it and however often: an edit in between changes the
    resource's version, so that is not in it. What can happen again, a suspension or a completion whose dead letters are
    retried, has the time of the last one."""
    step = ConditionType.FAILURE_TARGET.value if transition.failing else transition.phase.value
    times = [
        condition.last_transition_time
        for type_ in (ConditionType.SUSPENDED, ConditionType.COMPLETE)
        if (condition := run.status.condition(type_)) is not None
        and condition.last_transition_time is not None
    ]
    since = max(times).isoformat() if times else "first"
    return f"{run.uid}.{step}.{transition.reason.value}.{since}"
