"""What is known of a run at one moment, and the status that says it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobrun_operator.api import (
    ConditionType,
    JobRun,
    JobRunStatus,
    LimitedBy,
    Phase,
    SourceStatus,
    TaskCounts,
    TaskError,
)
from jobrun_operator.core import conditions, summary
from jobrun_operator.core.conditions import Standing
from jobrun_operator.core.counts import Counts
from jobrun_operator.core.lifecycle import Fault, Transition
from jobrun_operator.core.reasons import Reason
from jobrun_operator.engine.ports import FailedAttempt, SourceSummary, WorkersState


@dataclass(frozen=True, slots=True)
class View:
    """One look at a run. ``counts`` None: the streams could not be read this time, or are not there yet."""

    counts: Counts | None
    workers: WorkersState
    limited_by: LimitedBy | None
    errors: Sequence[FailedAttempt]
    source: SourceSummary | None
    trouble: Fault | None
    hold: Fault | None
    released_per_second: float
    ended_per_second: float


def phase_of(run: JobRun) -> Phase:
    return run.status.phase or Phase.PENDING


def failing(run: JobRun) -> Fault | None:
    """Why the run is on its way to Failed, where it is."""
    target = run.status.condition(ConditionType.FAILURE_TARGET)
    if target is None or not target.is_true:
        return None
    return Fault(Reason.named(target.reason, Reason.OTHER), target.message)


def render(
    run: JobRun, view: View, transition: Transition | None, stream: str, now: datetime
) -> JobRunStatus:
    """The status to show; what could not be read keeps its last value."""
    before, standing = run.status, _standing(run, view, transition)
    fields: dict[str, object] = {
        "observed_generation": run.metadata.generation or None,
        "replicas": view.workers.desired,
        "ready_replicas": view.workers.ready,
        "limited_by": _limited_by(view, before, standing),
        "phase": standing.phase,
        "conditions": conditions.render(
            before.conditions, standing, generation=run.metadata.generation, now=now
        ),
        **_times(run, standing.phase, transition, now),
    }
    if view.source is not None:
        fields["source"] = SourceStatus(
            count=view.source.count, digest=view.source.digest, version=view.source.version or None
        )
        fields["stream"] = stream
    if view.errors:
        shown = [TaskError(index=one.index, attempt=one.attempt, error=one.error) for one in view.errors]
        fields["last_errors"] = tuple(shown)
    if view.counts is not None:
        fields |= _progress(run, view, view.counts, standing)
    elif before.summary is not None:
        workers = summary.workers(view.workers.ready, view.workers.desired)
        fields["summary"] = before.summary.model_copy(update={"workers": workers})
    return before.model_copy(update=fields)


def _limited_by(view: View, before: JobRunStatus, standing: Standing) -> LimitedBy | None:
    """The releaser holds in every phase but Running, and would call it a suspension."""
    if standing.phase == Phase.COMPLETED:
        return LimitedBy.ALL_RELEASED
    if standing.phase == Phase.SUSPENDED:
        return LimitedBy.SUSPENDED
    if standing.phase != Phase.RUNNING or standing.failing is not None:
        return None
    if view.counts is None and view.trouble is not None and view.trouble.reason == Reason.BROKER_UNAVAILABLE:
        return LimitedBy.BROKER  # the releaser finds out only when it has something to release
    if view.limited_by == LimitedBy.SUSPENDED:
        return None  # about to begin, or to go on
    return view.limited_by or before.limited_by


def _standing(run: JobRun, view: View, transition: Transition | None) -> Standing:
    fault = failing(run)
    if transition is None:
        phase = phase_of(run)
        said = _said(run, phase)
    else:
        phase = transition.phase
        said = (transition.reason, transition.message)
        fault = fault or (Fault(transition.reason, transition.message) if transition.failing else None)
    return Standing(
        phase,
        *said,
        failing=fault,
        trouble=None if phase.is_final else view.trouble,
        hold=view.hold if phase == Phase.RUNNING else None,
    )


def _times(run: JobRun, phase: Phase, transition: Transition | None, now: datetime) -> dict[str, object]:
    before = run.status
    fields: dict[str, object] = {}
    if phase == Phase.RUNNING and before.start_time is None:
        fields["start_time"] = now
    if not phase.is_final:
        fields["completion_time"] = None
    elif before.completion_time is None:
        fields["completion_time"] = now
    if transition is not None and transition.reason == Reason.RESUMED and before.start_time is not None:
        fields["suspended_seconds"] = suspended_seconds(run, now)
    if transition is not None and transition.reason == Reason.RETRYING and before.completion_time is not None:
        ended = max(0, round((now - before.completion_time).total_seconds()))
        fields["suspended_seconds"] = suspended_seconds(run, now) + ended
    return fields


_SAYS = {
    Phase.RUNNING: (ConditionType.READY, Reason.STARTED),
    Phase.SUSPENDED: (ConditionType.SUSPENDED, Reason.SUSPENDED),
    Phase.COMPLETED: (ConditionType.COMPLETE, Reason.COMPLETED),
    Phase.FAILED: (ConditionType.FAILED, Reason.OTHER),
}
"""The condition that keeps what the last transition said, and what to say where it is not there."""


def _said(run: JobRun, phase: Phase) -> tuple[Reason, str]:
    if phase not in _SAYS:
        return Reason.ACCEPTED, Reason.ACCEPTED.sentence
    type_, fallback = _SAYS[phase]
    condition = run.status.condition(type_)
    if condition is None or not condition.is_true:
        return fallback, fallback.sentence
    return Reason.named(condition.reason, fallback), condition.message


def _progress(run: JobRun, view: View, counts: Counts, standing: Standing) -> dict[str, object]:
    asked = run.spec.rate.fraction(counts.total) if run.spec.rate else None
    per_second = run.spec.rate_per_second(counts.total)
    goes_on = standing.phase == Phase.RUNNING and standing.failing is None
    foreseen = goes_on and view.hold is None
    eta = summary.eta_seconds(counts, view.ended_per_second, per_second) if foreseen else None
    return {
        "tasks": TaskCounts(
            total=counts.total,
            released=counts.released,
            outstanding=counts.outstanding,
            waiting=counts.waiting,
            succeeded=counts.succeeded,
            failed=counts.failed,
            redeliveries=counts.redeliveries,
        ),
        "summary": summary.summarize(
            counts,
            released_per_second=view.released_per_second if goes_on else 0.0,
            asked=asked,
            ready=view.workers.ready,
            wanted=view.workers.desired,
            eta=eta,
        ),
    }


def suspended_seconds(run: JobRun, now: datetime) -> int:
    """Seconds of all suspensions so far, one that goes on included."""
    ended = run.status.suspended_seconds or 0
    current = run.status.condition(ConditionType.SUSPENDED)
    if current is None or not current.is_true or current.last_transition_time is None:
        return ended
    return ended + max(0, round((now - current.last_transition_time).total_seconds()))
