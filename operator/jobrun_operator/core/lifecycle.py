"""The state machine of a run: one pure function from what is seen to what happens next.

Phases, and what moves a run between them (the first row that holds is taken):

    from                    when                                            to          reason
    Completed               a dead letter is to be retried                  Running     Retrying
    Completed, Failed       always                                          (stays)
    any, failing            no worker runs any more                         Failed      the reason why it is failing
    any, failing            workers still run                               (stays)
    Pending                 the source can't be used                        failing     InvalidSource
    Pending                 source and streams are not ready yet            (stays)     Accepted, SourceUnavailable
    Pending                 they are, and the run is suspended              Suspended   Suspended
    Pending                 they are                                        Running     Started
    Running, Suspended      the stream is gone                              failing     StreamLost
    Running, Suspended      the source has changed                          failing     SourceChanged
    Running, Suspended      workers can't be started as asked               failing     WorkersFailed
    Running, Suspended      more dead letters than failurePolicy allows     failing     FailurePolicyExceeded
    Running, Suspended      finished, outcomes missing for 5 seconds        failing     TasksLost
    Running, Suspended      finished                                        Completed   Completed, CompletedWithFailures
    Running                 active longer than activeDeadlineSeconds        failing     DeadlineExceeded
    Running                 suspended by spec or annotation                 Suspended   Suspended
    Suspended               not suspended any more                          Running     Resumed

*Failing* is the first of two steps, as in ``batch/v1`` Job: the condition ``FailureTarget`` is true, releasing has
stopped, the consumer is paused and workers drain, while the phase stays what it was. No edit revives a failed run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobrun_operator.api import FailurePolicy, Phase
from jobrun_operator.core.counts import Counts
from jobrun_operator.core.reasons import Reason

LOST_SECONDS = 5.0
"""A replica that lags behind can show fewer outcomes than there are; what is lost is still missing after so long."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a run can't go on, as an adapter saw it."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the state machine looks at."""

    now: datetime
    phase: Phase
    failing: Fault | None
    """What ``FailureTarget`` says, where it is true."""
    suspend: bool
    ready: bool
    """The source is checked and the streams are there."""
    counts: Counts | None
    """None where the streams could not be read."""
    workers_running: int
    fault: Fault | None = None
    """What an adapter found wrong for good."""
    failure_policy: FailurePolicy | None = None
    active_deadline_seconds: int | None = None
    started: datetime | None = None
    lost_seconds: float = 0.0
    """For how long outcomes have been missing from a run with nothing outstanding."""
    suspended_seconds: float = 0.0
    """Ended suspensions, which don't count against the deadline."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What happens next. ``failing``: the first step of a failure; the phase stays as it was."""

    phase: Phase
    reason: Reason
    message: str
    failing: bool = False

    @property
    def warning(self) -> bool:
        return self.failing or self.phase == Phase.FAILED or self.reason == Reason.COMPLETED_WITH_FAILURES


def decide(seen: Situation) -> Transition | None:
    """The next transition, or None where the run stays as it is."""
    if seen.phase == Phase.COMPLETED and seen.counts is not None and seen.counts.outstanding:
        number = seen.counts.outstanding
        what = "1 dead letter is" if number == 1 else f"{number} dead letters are"
        return Transition(Phase.RUNNING, Reason.RETRYING, f"{what} tried once more")
    if seen.phase in (Phase.COMPLETED, Phase.FAILED):
        return None
    if seen.failing is not None:
        if seen.workers_running:
            return None
        return Transition(Phase.FAILED, seen.failing.reason, seen.failing.message)
    if seen.fault is not None:
        return _fail(seen, seen.fault)
    if seen.phase == Phase.PENDING:
        if not seen.ready:
            return None
        if seen.suspend:
            return Transition(Phase.SUSPENDED, Reason.SUSPENDED, Reason.SUSPENDED.sentence)
        return Transition(Phase.RUNNING, Reason.STARTED, Reason.STARTED.sentence)
    if seen.counts is not None:
        ended = _by_counts(seen, seen.counts)
        if ended is not None:
            return ended
    if seen.phase == Phase.RUNNING and (overdue := _overdue(seen)):
        return _fail(seen, Fault(Reason.DEADLINE_EXCEEDED, overdue))
    if seen.phase == Phase.RUNNING and seen.suspend:
        return Transition(Phase.SUSPENDED, Reason.SUSPENDED, Reason.SUSPENDED.sentence)
    if seen.phase == Phase.SUSPENDED and not seen.suspend:
        return Transition(Phase.RUNNING, Reason.RESUMED, Reason.RESUMED.sentence)
    return None


def _by_counts(seen: Situation, counts: Counts) -> Transition | None:
    exceeded = _exceeded(seen.failure_policy, counts)
    if exceeded:
        return _fail(seen, Fault(Reason.FAILURE_POLICY, exceeded))
    if not counts.finished:
        return None
    if counts.lost and seen.lost_seconds < LOST_SECONDS:
        return None
    if counts.lost:
        message = f"{counts.lost} of {counts.total} tasks have neither a result nor a dead letter"
        return _fail(seen, Fault(Reason.TASKS_LOST, message))
    if counts.failed:
        others = "; the others succeeded" if counts.succeeded else ""
        message = (
            f"{counts.failed} of {counts.total} tasks failed{others}"
            if counts.total > 1
            else "the task failed"
        )
        return Transition(Phase.COMPLETED, Reason.COMPLETED_WITH_FAILURES, message)
    message = f"all {counts.total} tasks succeeded" if counts.total > 1 else "the task succeeded"
    return Transition(Phase.COMPLETED, Reason.COMPLETED, message)


def _tasks(number: int) -> str:
    return "1 task" if number == 1 else f"{number} tasks"


def _fail(seen: Situation, fault: Fault) -> Transition:
    return Transition(seen.phase, fault.reason, fault.message, failing=True)


def _exceeded(policy: FailurePolicy | None, counts: Counts) -> str:
    if policy is None or not policy.is_exceeded(counts.failed, counts.total):
        return ""
    if policy.max_failed_tasks is not None:
        return f"{_tasks(counts.failed)} failed, more than maxFailedTasks: {policy.max_failed_tasks}"
    return f"{counts.failed} of {counts.total} tasks failed, more than maxFailedPercent: {policy.max_failed_percent}"


def _overdue(seen: Situation) -> str:
    if seen.active_deadline_seconds is None or seen.started is None:
        return ""
    active = (seen.now - seen.started).total_seconds() - seen.suspended_seconds
    if active <= seen.active_deadline_seconds:
        return ""
    return f"active for {active:.0f} s, longer than activeDeadlineSeconds: {seen.active_deadline_seconds}"
