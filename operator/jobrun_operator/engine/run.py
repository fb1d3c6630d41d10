"""One run: gather, decide, apply; again at every interval and whenever something is seen to have changed.

Two loops share it. The slow one, here, looks at the streams, moves the run through its phases, scales the workers and
writes the status. The fast one (``releaser``) releases, within the limits that the slow one sets. Neither keeps
anything that the streams and the resource don't hold: an engine that starts again goes on where they are. The slow
one needs no source: where that can't be read, what was released is still counted, scaled for and ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from jobrun_operator.api import JobRun, Phase
from jobrun_operator.core import counts as counting
from jobrun_operator.core import lifecycle, scaling, stuck
from jobrun_operator.core.counts import Counts
from jobrun_operator.core.lifecycle import Fault, Situation, Transition
from jobrun_operator.core.rates import RateWindow
from jobrun_operator.core.reasons import Reason
from jobrun_operator.core.scaling import Observation, ScalingHistory
from jobrun_operator.engine import view as views
from jobrun_operator.engine.asked import limits_of, scaling_of
from jobrun_operator.engine.ending import end
from jobrun_operator.engine.gather import ConsumerGone, CountersGone, Gatherer, Reading, StreamGone
from jobrun_operator.engine.ports import (
    Audit,
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
from jobrun_operator.engine.releaser import Releaser
from jobrun_operator.engine.releasing import Releasing
from jobrun_operator.engine.reporter import Reporter
from jobrun_operator.engine.view import View
from jobrun_operator.errors import (
    Conflict,
    Gone,
    JobRunError,
    TemporaryError,
)

log = logging.getLogger(__name__)


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
    on_step: Callable[[float], None] = lambda seconds: None
    """Told how long each look at a run took."""
    on_scaled: Callable[[str], None] = lambda reason: None
    """Told why, whenever another number of workers was asked for."""


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
        self._reporter = Reporter(
            self.ref,
            audit=ports.audit,
            statuses=ports.statuses,
            events=ports.events,
            live=ports.live,
            live_interval=settings.live_interval,
        )
        self._releasing = Releasing(
            self.ref,
            open_source=ports.open_source,
            streams=ports.streams,
            observer=ports.observer,
            publisher=ports.publisher,
            wake=self._wake.set,
        )
        self._promised: SourceSummary | None = None
        """What the stream says that it was made for."""
        self._fault: Fault | None = None
        self._unread: Fault | None = None
        """Why the streams could not be read at the last look."""
        self._untold: Fault | None = None
        """Why the last transition could not be made."""
        self._unscaled: Fault | None = None
        """Why workers could not be asked for at the last look."""
        self._stream_gone = False
        self._stuck = stuck.Watch()
        self._lost_since: float | None = None
        self._released = RateWindow(5.0)
        self._finished_attempts = RateWindow()
        self._ended = RateWindow(30.0)
        self._scaling = ScalingHistory()
        self._scaled: tuple[int, int] | None = None
        self._conflicts = 0
        """In a row."""

    def update(self, run: JobRun) -> None:
        """The resource as it is now; acts at once."""
        self.run = run
        if self._holds:
            self._hold()
        self._wake.set()

    def fail(self, fault: Fault) -> None:
        """The run can't go on, by what somebody else has found; it ends as any failure does."""
        self._fault = self._fault or fault
        self._wake.set()

    def _take(self, stored: JobRun) -> None:
        """What a request has answered, unless an edit that came meanwhile is newer."""
        if is_newer(stored, self.run):
            self.run = stored

    @property
    def _releaser(self) -> Releaser | None:
        return self._releasing.releaser

    @property
    def _source(self) -> SourceSummary | None:
        return self._releasing.source or self._promised

    # --- the loops --------------------------------------------------------------------------------------

    async def main(self) -> None:
        """Until ``done``, or cancelled: then workers and streams are left as they are, for the next engine."""
        releasing = asyncio.create_task(
            self._releasing.main(lambda: self.run), name=f"release {self.ref.name}"
        )
        releasing.add_done_callback(lambda _: self._wake.set())
        try:
            while not self.done.is_set():
                self._wake.clear()
                if releasing.done():
                    releasing.result()  # what is not an error of ours is a bug, and must not look like waiting
                await self.step()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.interval):
                        await self._wake.wait()
        finally:
            await end(releasing)

    async def step(self) -> None:
        """Gather, decide, apply, once. What can't be done now is tried again at the next step."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            await self._step(self._ports.now())
            self._conflicts = 0
        except Conflict:
            await self._read_again()
        except Gone:
            self._find_deleted()
        except JobRunError as error:
            log.warning("%s/%s: %s", self.ref.namespace, self.ref.name, error)
        finally:
            self._settings.on_step(clock() - began)

    async def _step(self, now: datetime) -> None:
        self._set_limits()
        workers = await self._ports.workers.observe(self.ref.uid)
        reading = await self._look()
        counts = self._counts(reading) if reading else None
        transition = lifecycle.decide(self._situation(counts, workers, now))
        if transition is None:
            self._untold = None
        else:
            await self._apply(transition, self._view(counts, workers), now)
            self._set_limits()
        stopped = await self._align_delivery(reading)
        if stopped or not self._holds:  # workers are not sent away while tasks are handed to them
            await self._scale(reading, counts, workers)
        workers = await self._ports.workers.observe(self.ref.uid)
        status = views.render(self.run, self._view(counts, workers), None, self._stream, now)
        self._take(await self._reporter.report(self.run, status, last=self.done.is_set()))

    async def _read_again(self) -> None:
        """Somebody wrote the resource since: look at it as it is now, and decide again."""
        self._conflicts += 1
        try:
            self._take(await self._ports.statuses.read(self.run))
        except Gone:
            self._find_deleted()
        except JobRunError as error:
            log.warning("%s/%s: %s", self.ref.namespace, self.ref.name, error)
        if self._conflicts == 1:
            self._wake.set()  # once: who writes all the time must not make this one spin

    def _find_deleted(self) -> None:
        log.info("%s/%s is gone", self.ref.namespace, self.ref.name)
        self._hold()
        self.done.set()

    # --- gather -----------------------------------------------------------------------------------------

    async def _look(self) -> Reading | None:
        """None where there is nothing to read yet, nothing more to learn, or the streams can't be read now."""
        phase = views.phase_of(self.run)
        if phase.is_final or self._stream_gone or (phase == Phase.PENDING and self._releaser is None):
            return None
        mark = self._releaser.mark() if self._releaser else None
        try:
            reading = await self._gatherer.read(self._source.count if self._source else None)
        except StreamGone as error:
            self._stream_gone = True
            self._fault = self._fault or Fault(Reason.STREAM_LOST, str(error))
            return None
        except ConsumerGone:
            await self._ports.streams.rebuild_consumer(self.ref.uid, paused=self._holds)
            return None
        except CountersGone:
            await self._ports.streams.rebuild_counters(self.ref.uid)
            return None
        except TemporaryError as error:
            self._unread = Fault(Reason.BROKER_UNAVAILABLE, str(error))
            return None
        self._unread = None
        self._promised = reading.depth.source
        if self._releaser is not None and mark is not None:
            self._releaser.observed(mark, reading.depth, reading.flow)
        if reading.depth.keeps_results and not self.run.spec.results.retain:
            await self._ports.streams.results_dropped(self.ref.uid)
        await self._mend(reading)
        return reading

    async def _mend(self, reading: Reading) -> None:
        """A consumer that has lost sight of what is left in the stream is made again."""
        depth, flow = reading.depth, reading.flow
        look = stuck.Look(depth.last_seq, depth.messages, flow.waiting, flow.held, flow.deliveries)
        self._stuck = self._stuck.after(look)
        if self._stuck.is_stuck:
            log.warning(
                "run %s: %d tasks are out of the consumer's sight; it is made again",
                self.ref.uid,
                depth.messages,
            )
            await self._ports.streams.rebuild_consumer(self.ref.uid, paused=self._holds)
            self._stuck = stuck.Watch()

    def _counts(self, reading: Reading) -> Counts:
        kept = self.run.spec.results.retain and reading.depth.keeps_results
        counts = counting.count(
            total=self._source.count if self._source else reading.depth.last_seq,
            last_seq=reading.depth.last_seq,
            messages=reading.depth.messages,
            waiting=reading.flow.waiting,
            failed=reading.ends.failed,
            kept=reading.ends.succeeded if kept else None,
            redeliveries=reading.flow.redeliveries,
        )
        clock = asyncio.get_running_loop().time()
        self._released.add(clock, counts.released)
        self._ended.add(clock, counts.ended)
        self._finished_attempts.add(clock, max(0, reading.flow.deliveries - reading.flow.held))
        if not counts.lost:
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = clock
        return counts

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
            fault=self._fault or self._releasing.fault,
            failure_policy=run.spec.failure_policy,
            active_deadline_seconds=run.spec.active_deadline_seconds,
            started=run.status.start_time,
            lost_seconds=self._lost_seconds,
            suspended_seconds=views.suspended_seconds(run, now),
        )

    @property
    def _lost_seconds(self) -> float:
        return 0.0 if self._lost_since is None else asyncio.get_running_loop().time() - self._lost_since

    def _view(self, counts: Counts | None, workers: WorkersState) -> View:
        clock = asyncio.get_running_loop().time()
        return View(
            counts=counts,
            workers=workers,
            limited_by=self._releaser.limited_by if self._releaser else None,
            errors=self._gatherer.errors,
            source=self._source,
            trouble=self._trouble(workers),
            released_per_second=self._released.rate(clock) or 0.0,
            ended_per_second=self._ended.rate(clock) or 0.0,
        )

    def _trouble(self, workers: WorkersState) -> Fault | None:
        """What is in the run's way for now, the root first."""
        unstarted = Fault(Reason.WORKERS_FAILED, workers.error) if workers.error else None
        return self._unread or self._untold or self._releasing.trouble or self._unscaled or unstarted

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

    async def _align_delivery(self, reading: Reading | None) -> bool:
        """Deliver or not, as the run's phase asks; returns whether nothing is handed to workers any more."""
        phase = views.phase_of(self.run)
        if reading is None or phase == Phase.COMPLETED:
            return phase.is_final or phase == Phase.PENDING or self._stream_gone
        if reading.flow.paused != self._holds:
            await self._ports.streams.pause(self.ref.uid, paused=self._holds)
        return self._holds

    async def _scale(self, reading: Reading | None, counts: Counts | None, workers: WorkersState) -> None:
        wanted, reason = 0, "Held"
        history = self._scaling
        if not self._holds and reading is None and self._source is None:
            wanted, reason = (
                workers.desired,
                "Unknown",
            )  # an engine that has just started knows no better than the one before
        elif not self._holds:
            decision, history = scaling.decide(
                scaling_of(self.run, self._settings.most_workers),
                self._observation(reading, counts, workers),
                self._scaling,
                asyncio.get_running_loop().time(),
            )
            wanted, reason = decision.replicas, decision.reason.value
        anything = wanted or workers.desired or workers.running  # for no workers, none need to be made
        if anything and ((wanted, self.run.metadata.generation) != self._scaled or workers.desired != wanted):
            try:
                await self._ports.workers.scale(self.run, wanted)
            except TemporaryError as error:
                # It shows in the status, which goes on; asked again at the next look.
                self._unscaled = Fault(Reason.WORKERS_FAILED, str(error))
                log.warning("%s/%s: %s", self.ref.namespace, self.ref.name, error)
                return
            except JobRunError as error:
                self._fault = self._fault or Fault(Reason.WORKERS_FAILED, str(error))
                self._wake.set()
                return
            self._scaled = (wanted, self.run.metadata.generation)
            if workers.desired != wanted:
                self._settings.on_scaled(reason)
        self._unscaled = None
        self._scaling = history
        if views.phase_of(self.run).is_final and not workers.running and not workers.desired:
            self.done.set()

    def _observation(
        self, reading: Reading | None, counts: Counts | None, workers: WorkersState
    ) -> Observation:
        clock = asyncio.get_running_loop().time()
        total = self._source.count if self._source else 0
        remaining = max(0, total - (counts.released if counts else 0))
        return Observation(
            asked_rate=self.run.spec.rate_per_second(total),
            release_rate=self._released.rate(clock) or 0.0,
            waiting=counts.waiting if counts else None,
            outstanding=counts.outstanding if counts else None,
            completion_rate=self._finished_attempts.rate(clock),
            running=reading.flow.held if reading else 0,
            replicas=workers.desired,
            ready=workers.ready,
            more_to_release=remaining > 0 and self._releaser is not None,
            remaining=remaining,
        )

    async def _apply(self, transition: Transition, view: View, now: datetime) -> None:
        status = views.render(self.run, view, transition, self._stream, now)
        try:
            self._take(await self._reporter.transition(self.run, status, transition, now))
        except (Conflict, Gone):
            raise
        except JobRunError as error:
            self._untold = Fault(Reason.BROKER_UNAVAILABLE, str(error))
        else:
            self._untold = None

    @property
    def _stream(self) -> str:
        return self._settings.stream_name(self.ref.uid)


def is_newer(run: JobRun, known: JobRun) -> bool:
    """Whether ``run`` is a later state of the object than ``known``.

    Resource versions may be compared as numbers since Kubernetes 1.35 (KEP-5504); where one is not a number, what
    arrives last is taken.
    """
    new, old = run.metadata.resource_version, known.metadata.resource_version
    return int(new) > int(old) if new.isdigit() and old.isdigit() else new != old
