"""What a scaling decision is made from and what it says: small frozen values, the reasons with their meaning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ScaleReason(StrEnum):
    """Why the number of workers is what it is; ``sentence`` says what it means and what can be done.

    The label of ``jobrun_scale_decisions_total``.
    """

    sentence: str

    def __new__(cls, value: str, sentence: str) -> ScaleReason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    DRAIN = (
        "Drain",
        "As many as keep up with the releases and clear what waits within drainSeconds; shorten it for more.",
    )
    UNMEASURED = (
        "Unmeasured",
        "Too few tasks have finished to tell how long one takes: a slot for each outstanding one; "
        "scaleUp slows this start down.",
    )
    KEEPING_UP = (
        "KeepingUp",
        "No more are added because nothing waits for a worker; limitedBy says what holds the run.",
    )
    SHARE = "Share", "One for every tasksPerReplica outstanding tasks; lower it for more."
    NOTHING_OUTSTANDING = (
        "NothingOutstanding",
        "Every released task is finished and the next is not due soon, so none is needed; "
        "set minReplicas to keep some warm.",
    )
    FIRST_WORKER = (
        "FirstWorker",
        "Nothing is released yet: a paced run waits a moment for a worker, so that its calls follow the rate.",
    )
    MINIMUM = "Minimum", "Fewer would do, but minReplicas asks for these."
    MAXIMUM = "Maximum", "More would be of use; raise maxReplicas where the cluster has room."
    SCALE_UP_LIMITED = (
        "ScaleUpLimited",
        "More are needed and will come; scaleUp allows only so many within its period.",
    )
    STABILIZING = (
        "Stabilizing",
        "Fewer would do; they go when that has been so for stabilizationWindowSeconds.",
    )
    DEPTH_UNKNOWN = (
        "DepthUnknown",
        "The broker doesn't say how many tasks there are, so the number stays; check the broker.",
    )


@dataclass(frozen=True, slots=True)
class ScaleUpLimit:
    """At most ``replicas`` more within any ``period_seconds``."""

    replicas: int
    period_seconds: float


@dataclass(frozen=True, slots=True)
class ScalingSettings:
    """``spec.scaling``, defaults applied; exactly one of ``drain_seconds`` and ``tasks_per_replica``."""

    min_replicas: int = 0
    max_replicas: int = 10
    drain_seconds: float | None = None
    tasks_per_replica: int | None = None
    scale_up: ScaleUpLimit | None = None
    stabilization_seconds: float = 30.0
    concurrency: int = 16
    """Slots: tasks at a time in one replica."""

    def __post_init__(self) -> None:
        if (self.drain_seconds is None) == (self.tasks_per_replica is None):
            raise ValueError("scaling needs exactly one of drain_seconds and tasks_per_replica")
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise ValueError(
                f"minReplicas {self.min_replicas} must be from 0 to maxReplicas {self.max_replicas}"
            )
        if any(
            n is not None and n <= 0 for n in (self.drain_seconds, self.tasks_per_replica, self.concurrency)
        ):
            raise ValueError("drain_seconds, tasks_per_replica and concurrency must be above 0")


@dataclass(frozen=True, slots=True)
class Observation:
    """What was read at one moment. Rates are in tasks per second, over ``rates.RATE_WINDOW_SECONDS``."""

    asked_rate: float | None
    """None: as fast as workers keep up."""
    release_rate: float
    waiting: int | None
    """Released and not yet taken by a worker (``num_pending``). None: the depth can't be read."""
    outstanding: int | None
    """Released and unfinished, delayed retries included. None: can't be read."""
    completion_rate: float | None
    """Attempts that finished, failed ones included. None: not measured."""
    running: int
    """In workers' hands by the broker's count (``num_ack_pending``), delayed retries included."""
    replicas: int
    """The number last asked for."""
    ready: int
    """Workers that are connected and pull."""
    more_to_release: bool
    """Tasks are still to be released, and nothing such as a suspension keeps them."""
    remaining: int
    """Tasks not yet released."""
    awaits_worker: bool = False
    """Releasing waits for a first worker to release to."""


@dataclass(frozen=True, slots=True)
class ScaleDecision:
    replicas: int
    reason: ScaleReason
