"""One run: gather, decide, apply; again at every interval and whenever something is seen to have changed.

Two loops share it. The slow one, here, looks at the streams, moves the run through its phases, scales the workers and
writes the status. The fast one (``releaser``) releases, within the limits that the slow one sets. Neither keeps
anything that the streams and the resource don't hold: an engine that starts again goes on where they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from jobrun_operator.api import JobRun, JobRunStatus, Phase
from jobrun_operator.core import counts as counting
from jobrun_operator.core import lifecycle, reporting, scaling
from jobrun_operator.core.counts import Counts
from jobrun_operator.core.lifecycle import Fault, Situation, Transition
from jobrun_operator.core.pacing import Limits, Rate
from jobrun_operator.core.rates import RateWindow
from jobrun_operator.core.reasons import Reason
from jobrun_operator.core.scaling import Observation, ScaleUpLimit, ScalingHistory, ScalingSettings
from jobrun_operator.engine import view as views
from jobrun_operator.engine.gather import Gatherer, Reading
from jobrun_operator.engine.ports import (
    Audit,
    AuditRecord,
    Events,
    LiveStatus,
    Observer,
    Publisher,
    RunRef,
    SourceSummary,
    StatusWriter,
    TaskSource,
    Workers,
    WorkersState,
    WorkStreams,
)
from jobrun_operator.engine.prepare import SourceChanged, prepare
from jobrun_operator.engine.releaser import Releaser
from jobrun_operator.engine.view import View
from jobrun_operator.errors import Conflict, Gone, SourceError, SourceUnavailable, TemporaryError

log = logging.getLogger(__name__)

_LONGEST_WAIT = 10.0
"""Seconds between tries to read a source that is not there yet, at most."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Seconds, but where another unit is named."""

    interval: float = 1.0
    """Between two looks at a run."""
    live_interval: float = 1.0
    """Between two writes of the live status."""
    most_workers: int | None = None
    """Workers of one run at most, whatever its spec says (local mode: the cores)."""
    stream_name: Callable[[str], str] = "jobrun_{}".format


@dataclass(frozen=True, slots=True)
class Ports:
    """All that an engine has of the outside."""

    streams: WorkStreams
    observer: Observer
    publisher: Publisher
    audit: Audit
    live: LiveStatus
    statuses: StatusWriter
    events: Events
    workers: Workers
    open_source: Callable[[JobRun], TaskSource]
    """Raises InputError where the kind of source does not exist in this mode."""
    now: Callable[[], datetime]


class RunEngine:
    """Drives one run until it has ended and its workers are gone."""

    def __init__(self, run: JobRun, ports: Ports, settings: EngineSettings) -> None:
        self.run = run
        self.ref = RunRef(run.namespace, run.name, run.uid)
        self.done = asyncio.Event()
        """Set when the run has ended, its status is written and no worker runs any more."""
        self._ports = ports
        self._settings = settings
        self._wake = asyncio.Event()
        self._gatherer = Gatherer(run.uid, ports.observer)
        self._releaser: Releaser | None = None
        self._source: SourceSummary | None = None
        self._fault: Fault | None = None
        self._trouble: Fault | None = None
        self._released = RateWindow(5.0)
        self._finished_attempts = RateWindow()
        self._ended = RateWindow(30.0)
        self._scaling = ScalingHistory()
        self._written_at = self._live_at = float("-inf")
        self._live: JobRunStatus | None = None
        self._scaled: tuple[int, int] | None = None

    def update(self, run: JobRun) -> None:
        """The resource as it is now; acts at once."""
        self.run = run
        if self._holds:
            self._hold()
        self._wake.set()

    # --- the loops --------------------------------------------------------------------------------------

    async def main(self) -> None:
        """Until ``done``, or cancelled: then workers and streams are left as they are, for the next engine."""
        releasing = asyncio.create_task(self._release(), name=f"release {self.ref.name}")
        try:
            while not self.done.is_set():
                self._wake.clear()
                await self.step()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.interval):
                        await self._wake.wait()
        finally:
            releasing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await releasing

    async def _release(self) -> None:
        """Prepare, as often as it takes, then release."""
        if views.phase_of(self.run).is_final or views.failing(self.run):
            return
        wait = 0.25
        while True:
            try:
                source = self._ports.open_source(self.run)
                prepared = await prepare(self.ref, source, self._ports.streams, self._ports.observer)
                break
            except SourceError as error:
                changed = isinstance(error, SourceChanged)
                self._fault = Fault(Reason.SOURCE_CHANGED if changed else Reason.INVALID_SOURCE, str(error))
                self._wake.set()
                return
            except TemporaryError as error:
                unavailable = isinstance(error, SourceUnavailable)
                reason = Reason.SOURCE_UNAVAILABLE if unavailable else Reason.BROKER_UNAVAILABLE
                self._trouble = Fault(reason, str(error))
                self._wake.set()
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
        self._source, self._trouble = prepared.summary, None
        self._releaser = Releaser(
            self.ref.uid,
            source,
            self._ports.publisher,
            self._ports.observer,
            depth=prepared.depth,
            flow=prepared.flow,
        )
        self._releaser.on_first = self._wake.set
        self._wake.set()
        await self._releaser.run()
        self._fault = self._releaser.fault
        self._wake.set()

    async def step(self) -> None:
        """Gather, decide, apply, once. What can't be done now is tried again at the next step."""
        now = self._ports.now()
        try:
            self._set_limits()
            workers = await self._ports.workers.observe(self.ref.uid)
            counts, reading = await self._look()
            transition = lifecycle.decide(self._situation(counts, workers, now))
            if transition is not None:
                await self._apply(transition, self._view(counts, workers), now)
                self._set_limits()
            await self._align_delivery(reading)
            await self._scale(reading, counts, workers)
            await self._report(counts, now)
        except Conflict:
            # Somebody wrote the resource since: look at it as it is now, and decide again.
            self.run = await self._ports.statuses.read(self.run)
            self._wake.set()
        except Gone:
            log.info("%s/%s is gone", self.ref.namespace, self.ref.name)
            self.done.set()
        except TemporaryError as error:
            log.warning("%s/%s: %s", self.ref.namespace, self.ref.name, error)

    # --- gather -----------------------------------------------------------------------------------------

    async def _look(self) -> tuple[Counts | None, Reading | None]:
        if self._releaser is None:
            return None, None
        mark = self._releaser.mark()
        try:
            reading = await self._gatherer.read()
        except Gone as error:
            await self._find_gone(error)
            return None, None
        except TemporaryError as error:
            self._trouble = Fault(Reason.BROKER_UNAVAILABLE, str(error))
            return None, None
        self._trouble = self._trouble_now()
        self._releaser.observed(mark, reading.depth, reading.flow)
        counts = self._counts(reading)
        clock = asyncio.get_running_loop().time()
        self._released.add(clock, counts.released)
        self._ended.add(clock, counts.ended)
        self._finished_attempts.add(clock, max(0, reading.flow.deliveries - reading.flow.held))
        return counts, reading

    async def _find_gone(self, error: Gone) -> None:
        """The consumer can be made again; the stream, with what was released in it, can't."""
        if await self._ports.observer.depth(self.ref.uid) is None:
            self._fault = Fault(Reason.STREAM_LOST, str(error))
        else:
            await self._ports.streams.rebuild_consumer(self.ref.uid)

    def _trouble_now(self) -> Fault | None:
        if self._releaser is not None and self._releaser.trouble:
            return Fault(Reason.BROKER_UNAVAILABLE, self._releaser.trouble)
        return None

    def _counts(self, reading: Reading) -> Counts:
        total = self._source.count if self._source else reading.depth.last_seq
        return counting.count(
            total=total,
            last_seq=reading.depth.last_seq,
            messages=reading.depth.messages,
            waiting=reading.flow.waiting,
            failed=reading.ends.failed,
            kept=reading.ends.succeeded if self.run.spec.results.retain else None,
            redeliveries=reading.flow.redeliveries,
        )

    def _situation(self, counts: Counts | None, workers: WorkersState, now: datetime) -> Situation:
        run = self.run
        return Situation(
            now=now,
            phase=views.phase_of(run),
            failing=views.failing(run),
            suspend=run.is_suspended,
            ready=self._releaser is not None,
            counts=counts,
            workers_running=workers.running,
            fault=self._fault,
            failure_policy=run.spec.failure_policy,
            active_deadline_seconds=run.spec.active_deadline_seconds,
            started=run.status.start_time,
            suspended_seconds=views.suspended_seconds(run, now),
        )

    def _view(self, counts: Counts | None, workers: WorkersState) -> View:
        clock = asyncio.get_running_loop().time()
        trouble = self._trouble
        if trouble is None and workers.error:
            trouble = Fault(Reason.WORKERS_FAILED, workers.error)
        return View(
            counts=counts,
            workers=workers,
            limited_by=self._releaser.limited_by if self._releaser else None,
            errors=self._gatherer.errors,
            source=self._source,
            trouble=trouble,
            released_per_second=self._released.rate(clock) or 0.0,
            ended_per_second=self._ended.rate(clock) or 0.0,
        )

    # --- apply ------------------------------------------------------------------------------------------

    @property
    def _holds(self) -> bool:
        run = self.run
        return views.phase_of(run) != Phase.RUNNING or run.is_suspended or views.failing(run) is not None

    def _hold(self) -> None:
        if self._releaser is not None:
            self._releaser.limit(None)

    def _set_limits(self) -> None:
        if self._holds:
            self._hold()
        elif self._releaser is not None and self._source is not None:
            self._releaser.limit(limits_of(self.run, self._source.count))

    async def _align_delivery(self, reading: Reading | None) -> None:
        """Before workers are sent away, nothing more is handed to them."""
        if reading is None or views.phase_of(self.run) == Phase.COMPLETED:
            return
        if reading.flow.paused != self._holds:
            await self._ports.streams.pause(self.ref.uid, paused=self._holds)

    async def _scale(self, reading: Reading | None, counts: Counts | None, workers: WorkersState) -> None:
        wanted = 0
        history = self._scaling
        if not self._holds and self._releaser is not None:
            decision, history = scaling.decide(
                scaling_of(self.run, self._settings.most_workers),
                self._observation(reading, counts, workers),
                self._scaling,
                asyncio.get_running_loop().time(),
            )
            wanted = decision.replicas
        if (wanted, self.run.metadata.generation) != self._scaled or workers.desired != wanted:
            await self._ports.workers.scale(self.run, wanted)
            self._scaled = (wanted, self.run.metadata.generation)
        self._scaling = history
        if views.phase_of(self.run).is_final and not workers.running and not workers.desired:
            self.done.set()

    def _observation(
        self, reading: Reading | None, counts: Counts | None, workers: WorkersState
    ) -> Observation:
        assert self._source is not None  # noqa: S101  # there is a releaser, so there is a source
        clock = asyncio.get_running_loop().time()
        remaining = self._source.count - (counts.released if counts else 0)
        return Observation(
            asked_rate=self.run.spec.rate_per_second(self._source.count),
            release_rate=self._released.rate(clock) or 0.0,
            waiting=counts.waiting if counts else None,
            outstanding=counts.outstanding if counts else None,
            completion_rate=self._finished_attempts.rate(clock),
            running=reading.flow.held if reading else 0,
            replicas=workers.desired,
            ready=workers.ready,
            more_to_release=remaining > 0,
            remaining=remaining,
        )

    async def _apply(self, transition: Transition, view: View, now: datetime) -> None:
        """Audit record, then the status, then the Event: a crash between them repeats, and loses nothing."""
        run = self.run
        status = views.render(run, view, transition, self._stream, now)
        record = AuditRecord(
            id=f"{run.uid}.{transition.reason}.{run.metadata.resource_version}",
            run=self.ref,
            type=transition.reason.value,
            message=transition.message,
            time=now.isoformat(),
            phase=transition.phase.value,
        )
        await self._ports.audit.record(record)
        await self._write(run, status)
        await self._ports.live.put(self.ref, status)
        await self._ports.events.publish(
            self.run, reason=transition.reason.value, message=transition.message, warning=transition.warning
        )
        log.info("%s/%s: %s: %s", run.namespace, run.name, transition.reason.value, transition.message)

    async def _report(self, counts: Counts | None, now: datetime) -> None:
        workers = await self._ports.workers.observe(self.ref.uid)
        status = views.render(self.run, self._view(counts, workers), None, self._stream, now)
        clock = asyncio.get_running_loop().time()
        if status != self._live and clock - self._live_at >= self._settings.live_interval:
            await self._ports.live.put(self.ref, status)
            self._live, self._live_at = status, clock
        last = self.done.is_set() and status != self.run.status
        if last or reporting.worth_writing(self.run.status, status, clock - self._written_at):
            await self._write(self.run, status)

    async def _write(self, run: JobRun, status: JobRunStatus) -> None:
        self.run = await self._ports.statuses.write(run, status)
        self._written_at = asyncio.get_running_loop().time()

    @property
    def _stream(self) -> str:
        return self._settings.stream_name(self.ref.uid)


def limits_of(run: JobRun, total: int) -> Limits:
    """``spec.rate``, ``maxWaiting`` and ``maxOutstanding``, defaults applied."""
    rate = run.spec.rate
    return Limits(
        total=total,
        rate=Rate(rate.per_second(total), rate.effective_burst(total)) if rate else None,
        max_waiting=run.spec.effective_max_waiting(total),
        max_outstanding=run.spec.max_outstanding,
    )


def scaling_of(run: JobRun, most: int | None) -> ScalingSettings:
    """``spec.scaling``, defaults applied; ``most`` workers where the place has a limit of its own."""
    scaling_spec = run.spec.scaling
    up = scaling_spec.scale_up
    highest = scaling_spec.max_replicas if most is None else min(most, scaling_spec.max_replicas)
    return ScalingSettings(
        min_replicas=min(scaling_spec.min_replicas, highest),
        max_replicas=highest,
        drain_seconds=scaling_spec.effective_drain_seconds,
        tasks_per_replica=scaling_spec.tasks_per_replica,
        scale_up=ScaleUpLimit(up.replicas, up.period_seconds) if up else None,
        stabilization_seconds=scaling_spec.scale_down.stabilization_window_seconds,
        concurrency=run.spec.worker.concurrency,
    )
