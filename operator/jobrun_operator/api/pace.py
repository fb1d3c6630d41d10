"""``spec.rate``: X tasks in Y seconds, or the whole run over Y seconds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobrun_operator.api.base import SpecModel, rule
from jobrun_operator.api.types import Seconds, TaskCount


class Rate(SpecModel):
    """How fast tasks are released: tasks and periodSeconds, or spreadOverSeconds. Without a rate, as fast as
    the workers keep up."""

    tasks: TaskCount | None = None
    """So many tasks in every periodSeconds."""
    period_seconds: Seconds | None = None
    """The time that tasks refers to, in seconds: 1 to a year."""
    spread_over_seconds: Seconds | None = None
    """Spread the whole run evenly over this time, in seconds: 1 to a year. Suspended time comes on top."""
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """At most so many tasks at once after a quiet time. By default what the rate allows in one second, at
    least 1."""

    def fraction(self, total: int) -> tuple[int, int]:
        """(tasks, seconds) whose quotient is the rate, exact; ``total`` is the number of tasks of the run."""
        if self.spread_over_seconds is not None:
            return total, self.spread_over_seconds
        if self.tasks is None or self.period_seconds is None:
            raise ValueError("a Rate needs tasks and periodSeconds, or spreadOverSeconds")
        return self.tasks, self.period_seconds

    def per_second(self, total: int) -> float:
        """Tasks per second, for a run of ``total`` tasks."""
        tasks, seconds = self.fraction(total)
        return tasks / seconds

    def allowed_in(self, seconds: int, total: int) -> int:
        """Whole tasks that the rate allows in so many seconds, at least 1."""
        tasks, period = self.fraction(total)
        return max(1, tasks * seconds // period)

    def effective_burst(self, total: int) -> int:
        """``burst``, or what the rate allows in one second, at least 1."""
        return self.burst if self.burst is not None else self.allowed_in(1, total)

    @rule(
        "has(self.tasks) == has(self.periodSeconds)",
        "tasks and periodSeconds go together: tasks: 600 with periodSeconds: 60 is 600 tasks a minute",
        field="tasks",
    )
    def _tasks_in_a_period(self) -> bool:
        return (self.tasks is None) == (self.period_seconds is None)

    @rule(
        "(has(self.tasks) || has(self.periodSeconds)) != has(self.spreadOverSeconds)",
        "set either tasks and periodSeconds, or spreadOverSeconds; for no limit leave out rate",
    )
    def _rate_or_spread(self) -> bool:
        rate = self.tasks is not None or self.period_seconds is not None
        return rate != (self.spread_over_seconds is not None)
