"""KEDA's ScaledObject with the HorizontalPodAutoscaler that it makes, by their documentation and source.

KEDA (github.com/kedacore/keda) looks at the trigger every ``pollingInterval`` (``withtriggers_types.go``:
``defaultPollingInterval = 30``) and itself scales only between none and one: up where the trigger is active,
down to zero where it has not been for ``cooldownPeriod`` (``scale_executor.go``: ``defaultCooldownPeriod = 5 *
60``; ``scale_scaledobjects.go``: ``scaleFromZero``, ``scaleToZero``). The NATS JetStream trigger's lag is
``num_pending + num_ack_pending``, and it is active where that exceeds ``activationLagThreshold``, 0 by default
(``nats_jetstream_scaler.go``: ``getMaxMsgLag``).

Between one and the maximum the HPA decides (kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale;
``pkg/controller/podautoscaler`` of kubernetes/kubernetes), every 15 s with the lag read afresh:
``lagThreshold`` is the target's AverageValue, so ``desired = ceil(lag / threshold)`` unless ``lag / (threshold
* replicas)`` is within the tolerance of 1 (``replica_calculator.go``: ``GetExternalPerPodMetricReplicas``),
then the defaults of ``pkg/apis/autoscaling/v2/defaults.go``: up by the larger of 4 pods and 100 % in 15 s, down
to the highest recommendation of the last 300 s. At zero replicas the HPA is off.

Where there is a choice, it is KEDA's advantage: the scale-up rules are those of ``behavior``, which from one
replica allow 5 and not 4 as without it; reading and patching take no time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.scaling.clock import Clock
from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.work import Work


@dataclass(frozen=True, slots=True)
class KedaSettings:
    """All but ``max_replicas`` are the defaults; seconds."""

    max_replicas: int
    lag_threshold: int = 10
    """``nats_jetstream_scaler.go``: ``defaultJetStreamLagThreshold``."""
    polling_interval: float = 30.0
    cooldown_period: float = 300.0
    sync_period: float = 15.0
    tolerance: float = 0.1
    up_pods: int = 4
    up_percent: int = 100
    up_period: float = 15.0
    stabilization: float = 300.0


def desired_replicas(lag: int, threshold: int, replicas: int, tolerance: float) -> int:
    """What an external metric with an AverageValue asks for; ``replicas`` from 1 on."""
    if abs(1.0 - lag / (threshold * replicas)) <= tolerance:
        return replicas
    return math.ceil(lag / threshold)


def scale_up_limit(replicas: int, added: int, settings: KedaSettings) -> int:
    """At most so many now, where ``added`` of ``replicas`` came within the period: the larger of
    what the policies of type Pods and Percent allow."""
    start = replicas - added
    return max(start + settings.up_pods, math.ceil(start * (1 + settings.up_percent / 100)), replicas)


def stabilized(desired: int, replicas: int, recent: Sequence[int]) -> int:
    """Down no further than the highest of the ``recent`` recommendations; up at once."""
    return desired if desired >= replicas else max(desired, *recent, 0)


class Keda:
    """Polls first at ``poll_at`` and syncs at ``sync_at``, seconds after the run's start."""

    def __init__(
        self, clock: Clock, fleet: Fleet, work: Work, settings: KedaSettings, poll_at: float, sync_at: float
    ) -> None:
        self._clock, self._fleet, self._work, self._settings = clock, fleet, work, settings
        self._active_at = 0.0
        self._recommendations: list[tuple[float, int]] = []
        self._ups: list[tuple[float, int]] = []
        clock.every(settings.polling_interval, poll_at, self._poll)
        clock.every(settings.sync_period, sync_at, self._sync)

    def _poll(self) -> None:
        if self._work.outstanding > 0:
            self._active_at = self._clock.now
            if not self._fleet.replicas:
                self._fleet.scale(1)
        elif self._fleet.replicas and self._active_at + self._settings.cooldown_period < self._clock.now:
            self._fleet.scale(0)

    def _sync(self) -> None:
        settings, now, replicas = self._settings, self._clock.now, self._fleet.replicas
        if not replicas:
            return
        wanted = desired_replicas(
            self._work.outstanding, settings.lag_threshold, replicas, settings.tolerance
        )
        self._recommendations = _since(self._recommendations, now - settings.stabilization)
        desired = stabilized(wanted, replicas, [number for _, number in self._recommendations])
        self._recommendations.append((now, wanted))
        if desired > replicas:
            self._ups = _since(self._ups, now - settings.up_period)
            limit = scale_up_limit(replicas, sum(added for _, added in self._ups), settings)
            desired = min(desired, limit, settings.max_replicas)
            self._ups.append((now, desired - replicas))
        self._fleet.scale(min(settings.max_replicas, max(1, desired)))


def _since(events: Sequence[tuple[float, int]], cutoff: float) -> list[tuple[float, int]]:
    """Those after ``cutoff``: one that is exactly a period old does not count, as in ``getReplicasChangePerPeriod``."""
    return [event for event in events if event[0] > cutoff]
