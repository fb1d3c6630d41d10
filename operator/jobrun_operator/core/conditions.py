"""The conditions of a run, worked out from its phase and from what is in its way.

``Ready`` is always there; the others are there from the moment that they were true for the first time, as in
``batch/v1`` Job, and ``Reconciling`` and ``Stalled`` only while they are true, as kstatus asks for ("abnormal-true"
conditions): a run is *reconciling* until it is accepted, *ready* while it runs or is complete, *stalled* when it has
failed. ``lastTransitionTime`` moves when a status changes, and not with a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobrun_operator.api import Condition, ConditionStatus, ConditionType, Phase
from jobrun_operator.core.lifecycle import Fault
from jobrun_operator.core.reasons import Reason

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE

_ALWAYS = (ConditionType.READY,)
_WHILE_TRUE = (ConditionType.RECONCILING, ConditionType.STALLED)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the conditions are made of. ``reason`` and ``message`` say why the phase is what it is."""

    phase: Phase
    reason: Reason
    message: str
    failing: Fault | None = None
    trouble: Fault | None = None
    """What is in the run's way for now."""
    hold: Fault | None = None
    """Why nothing is begun for a while; a run that is held is as ready as one that waits for its rate."""


def render(
    previous: Sequence[Condition], standing: Standing, *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The conditions of a run in a fixed order."""
    before = {condition.type: condition for condition in previous}
    rendered = []
    for type_, (status, reason, message) in _wanted(standing).items():
        old = before.get(type_)
        if status is FALSE and old is None and type_ not in _ALWAYS:
            continue
        if status is FALSE and type_ in _WHILE_TRUE:
            continue
        since = old.last_transition_time if old is not None and old.status == status else now
        says = (status, reason, message, generation)
        if old is not None and says == (old.status, old.reason, old.message, old.observed_generation):
            rendered.append(old)  # most looks find nothing new
            continue
        rendered.append(
            Condition(
                type=type_,
                status=status,
                reason=reason,
                message=message,
                observed_generation=generation,
                last_transition_time=since,
            )
        )
    return tuple(rendered)


def _wanted(at: Standing) -> dict[ConditionType, tuple[ConditionStatus, str, str]]:
    def when(holds: bool, fault: Fault | None = None) -> tuple[ConditionStatus, str, str]:
        why = fault or Fault(at.reason, at.message)
        return (TRUE if holds else FALSE, why.reason.value, why.message)

    failed = at.phase == Phase.FAILED
    ready = at.phase == Phase.COMPLETED or (
        at.phase == Phase.RUNNING and at.failing is None and at.trouble is None
    )
    return {
        ConditionType.COMPLETE: when(at.phase == Phase.COMPLETED),
        ConditionType.FAILURE_TARGET: when(failed or at.failing is not None, at.failing),
        ConditionType.FAILED: when(failed),
        ConditionType.FINISHED: when(at.phase.is_final),
        ConditionType.SUSPENDED: when(at.phase == Phase.SUSPENDED),
        ConditionType.HELD: when(at.hold is not None, at.hold),
        ConditionType.READY: when(ready, at.failing or at.trouble),
        ConditionType.STALLED: when(failed),
        ConditionType.RECONCILING: when(at.phase == Phase.PENDING, at.trouble),
    }
