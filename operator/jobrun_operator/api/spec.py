"""``spec``: what a user asks of a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobrun_operator.api.base import SpecModel
from jobrun_operator.api.outcome import CircuitBreaker, FailurePolicy, Results, Retry
from jobrun_operator.api.pace import Rate
from jobrun_operator.api.scale import Scaling
from jobrun_operator.api.tasks import Tasks
from jobrun_operator.api.types import Seconds, SecondsOrZero
from jobrun_operator.api.worker import Worker

DEFAULT_MAX_WAITING = 10_000
"""Tasks that may wait for a worker where there is no rate."""

WAITING_SECONDS = 2
"""With a rate, so many seconds' worth of tasks may wait."""


class JobRunSpec(SpecModel):
    """The run that is wanted. All of it but tasks can be changed while the run goes on."""

    suspend: bool = False
    """Hold the run: no task is released or begun, running ones finish, workers go to zero. Nothing is lost.
    The annotation `jobrun.dev/paused: "true"` does the same."""
    tasks: Tasks
    rate: Rate | None = None
    max_waiting: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Releasing holds while so many tasks wait for a worker, so that calls follow the rate after an outage
    too. By default what the rate allows in 2 seconds, at least 1; without a rate 10,000."""
    max_outstanding: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000
    """Releasing holds while so many tasks are released and unfinished, those waiting for a retry included."""
    worker: Worker
    scaling: Scaling = Scaling()
    retry: Retry = Retry()
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    failure_policy: FailurePolicy | None = None
    results: Results = Results()
    active_deadline_seconds: Seconds | None = None
    """The run fails when it takes longer, in seconds: 1 to a year. Suspended time does not count."""
    cleanup_seconds_after_finished: SecondsOrZero = 604_800
    """How long after its end a run keeps its streams, results and Deployment, in seconds: 0 to a year. The
    object and its status stay."""
    ttl_seconds_after_finished: SecondsOrZero | None = None
    """Delete the object so long after its end, in seconds: 0 to a year. What keeps applying the manifest, as
    GitOps does, would then create and run it again."""

    def rate_per_second(self, total: int) -> float | None:
        """Tasks per second for a run of ``total`` tasks; None without a rate."""
        return None if self.rate is None else self.rate.per_second(total)

    def effective_max_waiting(self, total: int) -> int:
        """``maxWaiting`` or its default, for a run of ``total`` tasks."""
        if self.max_waiting is not None:
            return self.max_waiting
        return DEFAULT_MAX_WAITING if self.rate is None else self.rate.allowed_in(WAITING_SECONDS, total)

    def least_seconds(self, total: int) -> float:
        """The time that ``total`` tasks take at the asked rate, in seconds; 0 without a rate."""
        per_second = self.rate_per_second(total)
        return total / per_second if per_second else 0.0

    def deadline_warning(self, total: int) -> str | None:
        """What to tell a user whose rate can't be through by the deadline."""
        least, deadline = self.least_seconds(total), self.active_deadline_seconds
        if deadline is None or least <= deadline:
            return None
        return (
            f"{total:,} tasks take about {least:,.0f} s at the asked rate, longer than activeDeadlineSeconds "
            f"({deadline:,}): the run will fail unless one of them is raised"
        )
