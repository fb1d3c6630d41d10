"""How many workers a run gets: one pure function of what was observed, with the clock handed in.

``scaling_demand`` recommends a number; here it becomes a decision, by the rules of the
HorizontalPodAutoscaler (kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale, "Configurable
scaling behavior"; KEP-853):

- up at once, by at most ``scale_up.replicas`` within any ``scale_up.period_seconds`` (a policy of type Pods);
- down to the highest recommendation of the last ``stabilization_seconds``, and no lower;
- where depth can't be read the last number stays;
- the bounds win over all of these, and the first worker of a run is never held back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from jobrun_operator.core.scaling_demand import learn, recommend, remember
from jobrun_operator.core.scaling_service import ServiceTime
from jobrun_operator.core.scaling_shortage import Shortage
from jobrun_operator.core.scaling_values import (
    Observation,
    ScaleDecision,
    ScaleReason,
    ScaleUpLimit,
    ScalingSettings,
)

__all__ = [
    "Observation",
    "ScaleDecision",
    "ScaleReason",
    "ScaleUpLimit",
    "ScalingHistory",
    "ScalingSettings",
    "decide",
]


@dataclass(frozen=True, slots=True)
class ScalingHistory:
    """What a decision needs of earlier ones; the caller carries it, starting with an empty one.

    Where a decision could not be applied, keep the one from before it: a scale-up that failed must not use up
    ``scale_up``. An empty one (a restarted operator) waits out the whole window before it scales down.
    """

    recommendations: tuple[tuple[float, int], ...] = ()
    """(time, replicas), newest last, without those that a newer one reaches or exceeds."""
    scale_ups: tuple[tuple[float, int], ...] = ()
    """(time, replicas added) within the period of ``scale_up``."""
    service: ServiceTime = field(default_factory=ServiceTime)
    shortage: Shortage = field(default_factory=Shortage)

    def pause(self, now: float) -> ScalingHistory:
        """While nothing is begun, such as in a hold, nothing is learned of what workers can do."""
        return replace(self, service=self.service.pause(now), shortage=self.shortage.pause())


def decide(
    settings: ScalingSettings, observed: Observation, history: ScalingHistory, now: float
) -> tuple[ScaleDecision, ScalingHistory]:
    """How many replicas to ask for at ``now`` (seconds of any clock that doesn't go back), and why."""
    service = learn(settings, observed, history.service, now)
    shortage = remember(settings, observed, history.shortage, now)
    wanted, reason = recommend(settings, observed, service)
    if observed.outstanding and observed.more_to_release and wanted < shortage.needed(now):
        wanted, reason = shortage.needed(now), ScaleReason.DRAIN
    wanted, reason = _bounded(settings, wanted, reason)

    seeded = history.recommendations or ((now, observed.replicas),)
    recent = tuple((at, n) for at, n in seeded if now - at < settings.stabilization_seconds and n > wanted)
    replicas = wanted
    stable = min(observed.replicas, max((n for _, n in recent), default=wanted), settings.max_replicas)
    if stable > wanted:
        replicas, reason = stable, ScaleReason.STABILIZING

    scale_ups = history.scale_ups
    if settings.scale_up is not None:
        scale_ups = tuple(up for up in scale_ups if now - up[0] < settings.scale_up.period_seconds)
        left = max(0, settings.scale_up.replicas - sum(added for _, added in scale_ups))
        if replicas > observed.replicas + left:
            first = 1 if observed.outstanding or observed.awaits_worker else 0
            replicas, reason = max(observed.replicas + left, first), ScaleReason.SCALE_UP_LIMITED

    replicas = min(settings.max_replicas, max(settings.min_replicas, replicas))
    if settings.scale_up is not None and replicas > observed.replicas:
        scale_ups = (*scale_ups, (now, replicas - observed.replicas))
    return ScaleDecision(replicas, reason), ScalingHistory(
        (*recent, (now, wanted)), scale_ups, service, shortage
    )


def _bounded(settings: ScalingSettings, wanted: int, reason: ScaleReason) -> tuple[int, ScaleReason]:
    if wanted > settings.max_replicas:
        return settings.max_replicas, ScaleReason.MAXIMUM
    if wanted < settings.min_replicas:
        return settings.min_replicas, ScaleReason.MINIMUM
    return wanted, reason
