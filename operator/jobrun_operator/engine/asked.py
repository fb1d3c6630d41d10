"""What a run's spec asks of pacing and of scaling, defaults applied. Pure."""

from __future__ import annotations

from jobrun_operator.api import JobRun
from jobrun_operator.core.pacing import Limits, Rate
from jobrun_operator.core.scaling import ScaleUpLimit, ScalingSettings


def limits_of(run: JobRun, total: int) -> Limits:
    """``spec.rate``, ``maxWaiting`` and ``maxOutstanding`` for a run of ``total`` tasks."""
    rate = run.spec.rate
    return Limits(
        total=total,
        rate=Rate(rate.per_second(total), rate.effective_burst(total)) if rate else None,
        max_waiting=run.spec.effective_max_waiting(total),
        max_outstanding=run.spec.max_outstanding,
    )


def scaling_of(run: JobRun, most: int | None) -> ScalingSettings:
    """``spec.scaling``; ``most`` workers where the place has a limit of its own."""
    scaling = run.spec.scaling
    up = scaling.scale_up
    highest = scaling.max_replicas if most is None else min(most, scaling.max_replicas)
    return ScalingSettings(
        min_replicas=min(scaling.min_replicas, highest),
        max_replicas=highest,
        drain_seconds=scaling.effective_drain_seconds,
        tasks_per_replica=scaling.tasks_per_replica,
        scale_up=ScaleUpLimit(up.replicas, up.period_seconds) if up else None,
        stabilization_seconds=scaling.scale_down.stabilization_window_seconds,
        concurrency=run.spec.worker.slots,
    )
