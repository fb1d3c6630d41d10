"""``spec.retry``, ``circuitBreaker``, ``failurePolicy`` and ``results``: what becomes of failures and of results."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobrun_operator.api.base import SpecModel, rule
from jobrun_operator.api.types import MAX_TASKS, SecondsInDayOrZero


class Retry(SpecModel):
    """How often a task is tried, with an exponential delay and full jitter between attempts."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 4
    """Attempts in all, the first included: 1 to 100. After the last one the task is a dead letter."""
    initial_delay_seconds: SecondsInDayOrZero = 5
    """Largest delay before the second attempt, in seconds: 0 to a day. It doubles with each attempt."""
    max_delay_seconds: SecondsInDayOrZero = 300
    """Largest delay before any attempt, in seconds: 0 to a day."""

    @rule(
        "self.initialDelaySeconds <= self.maxDelaySeconds",
        "initialDelaySeconds (5 unless set) must not exceed maxDelaySeconds (300 unless set)",
        field="initialDelaySeconds",
    )
    def _delays_grow(self) -> bool:
        return self.initial_delay_seconds <= self.max_delay_seconds


class CircuitBreaker(SpecModel):
    """Hold the run while so much fails that it is the partner's fault and not the tasks': an outage then costs few
    tasks an attempt. Afterwards a few tasks are tried first, one at a time in each worker."""

    enabled: bool = True
    """Without it every attempt counts, also in an outage."""
    consecutive_failures: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Hold when so many attempts in a row have failed, over all workers."""
    failure_percent: Annotated[int, Field(ge=1, le=100)] = 80
    """Hold when this percentage of the attempts in windowSeconds has failed, of at least minimumAttempts."""
    window_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """The time that failurePercent looks back, in seconds: 1 to an hour."""
    minimum_attempts: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Fewer attempts in windowSeconds say nothing."""
    open_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How long nothing is begun, in seconds: 1 to an hour. A trial that fails holds the run as long again."""


class FailurePolicy(SpecModel):
    """When failed tasks fail the run: maxFailedTasks or maxFailedPercent. Without a policy they never do."""

    max_failed_tasks: Annotated[int, Field(ge=0, le=MAX_TASKS)] | None = None
    """The run fails when more tasks than this have failed; 0: at the first one."""
    max_failed_percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """The run fails when more than this percentage of all its tasks has failed."""

    def is_exceeded(self, failed: int, total: int) -> bool:
        """Whether ``failed`` of ``total`` tasks are more than a run may have."""
        if self.max_failed_tasks is not None:
            return failed > self.max_failed_tasks
        return self.max_failed_percent is not None and failed * 100 > self.max_failed_percent * total

    @rule(
        "has(self.maxFailedTasks) != has(self.maxFailedPercent)",
        "set either maxFailedTasks or maxFailedPercent",
    )
    def _one_measure(self) -> bool:
        return (self.max_failed_tasks is None) != (self.max_failed_percent is None)


class Results(SpecModel):
    """What is kept of what handlers return."""

    retain: bool = False
    """Keep what handlers return, for `jobrun results`: about 250 bytes of the broker's memory for each task,
    and the result itself on its disk."""
