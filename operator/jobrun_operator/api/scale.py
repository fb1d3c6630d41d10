"""``spec.scaling``: between which bounds, and by which measure, the workers of a run are scaled."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobrun_operator.api.base import SpecModel, rule
from jobrun_operator.api.types import Replicas, SecondsInDay

DEFAULT_DRAIN_SECONDS = 30


class ScaleUp(SpecModel):
    """At most so many more workers in so much time, for image registries and partners that dislike a rush."""

    replicas: Annotated[int, Field(ge=1, le=1000)]
    """Workers that may be added in periodSeconds."""
    period_seconds: Annotated[int, Field(ge=1, le=3600)]
    """The time that replicas refers to, in seconds: 1 to an hour."""


class ScaleDown(SpecModel):
    """When to scale down."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    """Scale down only to the largest number that was wanted in this time, in seconds: 0 to an hour."""


class Scaling(SpecModel):
    """How many workers there are: by the time in which they should drain what waits, or by tasks each."""

    min_replicas: Replicas = 0
    """Workers that are kept while tasks remain, also when there is nothing to do: 0 to 1000."""
    max_replicas: Replicas = 10
    """Workers at most: 0 to 1000."""
    drain_seconds: SecondsInDay | None = None
    """Have as many workers as finish what waits in this time, in seconds: 1 to a day. 30 by default, where
    tasksPerReplica is not set."""
    tasks_per_replica: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Have a worker for every so many unfinished tasks, instead of drainSeconds."""
    scale_up: ScaleUp | None = None
    scale_down: ScaleDown = ScaleDown()

    @property
    def effective_drain_seconds(self) -> int | None:
        """``drainSeconds`` or its default; None where ``tasksPerReplica`` decides."""
        if self.tasks_per_replica is not None:
            return None
        return self.drain_seconds if self.drain_seconds is not None else DEFAULT_DRAIN_SECONDS

    @rule(
        "self.minReplicas <= self.maxReplicas",
        "minReplicas must not exceed maxReplicas (10 unless set)",
        field="minReplicas",
    )
    def _min_below_max(self) -> bool:
        return self.min_replicas <= self.max_replicas

    @rule(
        "!(has(self.drainSeconds) && has(self.tasksPerReplica))",
        "set drainSeconds or tasksPerReplica, not both",
        field="tasksPerReplica",
    )
    def _one_measure(self) -> bool:
        return self.drain_seconds is None or self.tasks_per_replica is None
