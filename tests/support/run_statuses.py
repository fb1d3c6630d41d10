"""The statuses of a run's life, made by the code that makes them in the operator: what health checks are tested on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jobrun_operator.api import JobRun, LimitedBy
from jobrun_operator.core.counts import Counts
from jobrun_operator.core.lifecycle import Fault, Transition, decide
from jobrun_operator.core.lifecycle import Situation as Seen
from jobrun_operator.core.reasons import Reason
from jobrun_operator.engine.ports import SourceSummary, WorkersState
from jobrun_operator.engine.view import View, failing, phase_of, render

TOTAL = 1000
START = datetime(2026, 6, 1, 12, tzinfo=UTC)
SOURCE = SourceSummary(TOTAL, "sha256:" + 64 * "0")
MANIFEST = {
    "apiVersion": "jobrun.dev/v1alpha1",
    "kind": "JobRun",
    "metadata": {"name": "backfill", "namespace": "default", "uid": "6f1c", "generation": 1},
    "spec": {
        "tasks": {"count": TOTAL},
        "worker": {"image": "registry.example/push:1", "python": "push:call"},
        "failurePolicy": {"maxFailedTasks": 10},
    },
}


@dataclass(frozen=True)
class Captured:
    """The whole object at one moment, as a GitOps tool reads it."""

    name: str
    object: dict[str, Any]


class Life:
    """One run, moved on by what is seen of it."""

    def __init__(self) -> None:
        self.run = JobRun.from_wire(MANIFEST)
        self._now = START

    def edit(self) -> None:
        """Somebody changes the spec, and the operator has not seen it yet."""
        metadata = self.run.metadata.model_copy(update={"generation": self.run.metadata.generation + 1})
        self.run = self.run.model_copy(update={"metadata": metadata})

    def look(
        self,
        counts: Counts | None = None,
        *,
        ready: bool = True,
        workers: int = 0,
        suspend: bool = False,
        fault: Fault | None = None,
        trouble: Fault | None = None,
        hold: Fault | None = None,
    ) -> dict[str, Any]:
        """One step of the engine, with this to see."""
        self._now += timedelta(seconds=10)
        transition: Transition | None = decide(
            Seen(
                now=self._now,
                phase=phase_of(self.run),
                failing=failing(self.run),
                suspend=suspend,
                ready=ready,
                counts=counts,
                workers_running=workers,
                fault=fault,
                failure_policy=self.run.spec.failure_policy,
            )
        )
        view = View(
            counts=counts,
            workers=WorkersState(workers, workers, workers),
            limited_by=LimitedBy.RATE,
            errors=(),
            source=SOURCE if ready else None,
            trouble=trouble,
            hold=hold,
            released_per_second=10.0,
            ended_per_second=10.0,
        )
        status = render(self.run, view, transition, "jobrun_6f1c", self._now)
        self.run = self.run.with_status(status)
        return self.run.to_wire()


def counts(released: int, outstanding: int = 0, failed: int = 0) -> Counts:
    return Counts(
        total=TOTAL,
        released=released,
        outstanding=outstanding,
        waiting=0,
        succeeded=released - outstanding - failed,
        failed=failed,
        redeliveries=0,
    )


def captured() -> Iterator[Captured]:
    """Every phase, with what can be in a run's way in it."""
    yield Captured("just created", Life().run.to_wire())
    yield from _of_a_run_that_completes()
    yield from _of_a_run_that_fails()
    life = Life()
    missing = Fault(Reason.SOURCE_UNAVAILABLE, "there is no ConfigMap default/ids (yet)")
    yield Captured("pending, source missing", life.look(ready=False, trouble=missing))
    life.look()
    yield Captured("completed with failures", life.look(counts(TOTAL, failed=3)))
    life = Life()
    invalid = Fault(Reason.INVALID_SOURCE, "ids.csv line 7: not valid")
    life.look(ready=False, fault=invalid)
    yield Captured("failed before it began", life.look(ready=False))


def _of_a_run_that_completes() -> Iterator[Captured]:
    life = Life()
    yield Captured("pending", life.look(ready=False))
    yield Captured("started", life.look())
    yield Captured("running", life.look(counts(500, 20), workers=2))
    away = Fault(Reason.BROKER_UNAVAILABLE, "no answer from the broker")
    yield Captured("running, broker away", life.look(None, workers=2, trouble=away))
    throttled = Fault(Reason.THROTTLED, "429 Too Many Requests")
    yield Captured("running, held", life.look(counts(500, 20), workers=2, hold=throttled))
    yield Captured("suspended", life.look(counts(500, 20), workers=2, suspend=True))
    yield Captured("resumed", life.look(counts(500, 20)))
    yield Captured("completed", life.look(counts(TOTAL)))
    life.edit()
    yield Captured("completed, edited later", life.run.to_wire())


def _of_a_run_that_fails() -> Iterator[Captured]:
    life = Life()
    life.look()
    life.look(counts(500, 20), workers=2)
    life.edit()
    yield Captured("running, edited just now", life.run.to_wire())
    yield Captured("failing", life.look(counts(500, 20, failed=11), workers=2))
    yield Captured("failed", life.look(counts(500, 20, failed=11)))
