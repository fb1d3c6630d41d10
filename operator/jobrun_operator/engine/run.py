"""One run: gather, decide, apply; again at every interval and whenever something is seen to have changed.

Two loops share it. The slow one, here, looks at the streams, moves the run through its phases, scales the workers and
writes the status. The fast one (``releaser``) releases, within the limits that the slow one sets. Neither keeps
anything that the streams and the resource don't hold: an engine that starts again goes on where they are. The slow
one needs no source: where that can't be read, what was released is still counted, scaled for and ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from jobrun_operator.api import ConditionType, JobRun, JobRunSpec, LimitedBy, Phase
from jobrun_operator.core import lifecycle
from jobrun_operator.core.counts import Counts
from jobrun_operator.core.lifecycle import Fault, Situation, Transition
from jobrun_operator.core.pacing import Limits
from jobrun_operator.core.reasons import Reason
from jobrun_operator.core.scaling import Observation
from jobrun_operator.engine import view as views
from jobrun_operator.engine.asked import limits_of
from jobrun_operator.engine.breaking import Breaking
from jobrun_operator.engine.draining import Draining
from jobrun_operator.engine.ending import end
from jobrun_operator.engine.gather import Reading
from jobrun_operator.engine.looking import Looking
from jobrun_operator.engine.pace import Pace
from jobrun_operator.engine.ports import (
    Audit,
    Events,
    Hold,
    Holds,
    LiveStatus,
    Observer,
    Publisher,
    Pulses,
    Retries,
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
from jobrun_operator.engine.resting import wake_within
from jobrun_operator.engine.retrying import Retrying, Terms
from jobrun_operator.engine.staffing import Staffing
from jobrun_operator.engine.view import View
from jobrun_operator.errors import Conflict, Gone, JobRunError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Seconds, but where another unit is named."""

    interval: float = 1.0
    """Between two looks at a run, where there are few of them."""
    live_interval: float = 1.0
    """Between two writes of the live status."""
    most_workers: int | None = None
    """Workers of one run at most, whatever its spec says (local mode: the cores)."""
    stream_name: Callable[[str], str] = "jobrun_{}".format
    on_step: Callable[[float], None] = lambda seconds: None
    """Told how long each look at a run took."""
    on_scaled: Callable[[str], None] = lambda reason: None
    """Told why, whenever another number of workers was asked for."""
    on_tripped: Callable[[], None] = lambda: None
    """Told whenever a circuit breaker has held a run."""


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
    holds: Holds
    pulses: Pulses
    retries: Retries
    open_source: Callable[[JobRun], TaskSource]
    """Raises InputError where the kind of source does not exist in this mode."""
    now: Callable[[], datetime]


class RunEngine:
    """Drives one run until it has ended and its workers are gone."""

    def __init__(self, run: JobRun, ports: Ports, settings: EngineSettings, pace: Pace | None = None) -> None:
        """``pace``: shared with all other engines of the process."""
        self.run = run
        self.ref = RunRef(run.namespace, run.name, run.uid)
        self.done = asyncio.Event()
        """Set when the run has ended, its status is written and no worker runs any more that has to be waited for."""
        self._ports = ports
        self._settings = settings
        self._pace = pace or Pace()
        self._wake = asyncio.Event()
        self._retrying = Retrying(
            self.ref, ports.retries, self._charge, keeps_results=lambda: self.run.spec.results.retain
        )
        self._looking = Looking(self.ref, ports.streams, ports.observer, self._retrying, self._pace)
        self._breaking = Breaking(ports.holds, self._wake.set, settings.on_tripped)
        self._staffing = Staffing(ports.workers, settings.most_workers, settings.on_scaled)
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
            pace=self._pace,
            wake=self._wake.set,
            on_first=self._on_first,
        )
        self._has_workers = False
        """As asked for when last looked at."""
        self._fault: Fault | None = None
        self._held: Hold | None = None
        """What was raised for this run, and is not over."""
        self._told_hold: str | None = None
        """The id of the hold that was told; empty: that there is none; None: what an earlier engine told."""
        self._untold: Fault | None = None
        """Why the last transition could not be made."""
        self._conflicts = 0
        """In a row."""
        self._known_limits: tuple[JobRunSpec, int, Limits] | None = None
        """As worked out last, for which spec and total: they are asked for at every look."""
        self._draining = Draining()

    def update(self, run: JobRun) -> None:
        """The resource as it is now; acts at once."""
        self.run = run
        if self._holds:
            self._hold()
        self._wake.set()

    def fail(self, fault: Fault) -> None:
        """The run can't go on, by what somebody else has found; it ends as any failure does. Told before ``main``,
        nothing of it is started."""
        self._fault = self._fault or fault
        self._releasing.fail(fault)
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
        return self._releasing.source or self._looking.promised

    @property
    def _total(self) -> int | None:
        return self._source.count if self._source else None

    # --- the loops --------------------------------------------------------------------------------------

    async def main(self) -> None:
        """Until ``done``, or cancelled: then workers and streams are left as they are, for the next engine."""
        releasing = asyncio.create_task(
            self._releasing.main(lambda: self.run), name=f"release {self.ref.name}"
        )
        releasing.add_done_callback(lambda _: self._wake.set())
        retrying = asyncio.create_task(self._retrying.main(), name=f"retry {self.ref.name}")
        self._ports.holds.listen(self.ref.uid, self._wake.set)
        self._ports.pulses.listen(self.ref.uid, lambda pulse: self._breaking.hear(self.run, pulse))
        try:
            with self._pace.taking_part():
                while not self.done.is_set():
                    self._wake.clear()
                    for side in (releasing, retrying):
                        if side.done():
                            side.result()  # what is not an error of ours is a bug, and must not look like waiting
                    await self.step()
                    await wake_within(self._rest, self._wake)
        finally:
            self._ports.pulses.forget(self.ref.uid)
            self._ports.holds.forget(self.ref.uid)
            await end(releasing)
            await end(retrying)

    @property
    def _rest(self) -> float:
        """Seconds until the next look: a hold ends in time."""
        rest = self._pace.rest(self._settings.interval, self.ref.uid)
        return min(rest, self._held.left) if self._held is not None else rest

    def _on_first(self) -> None:
        """Tasks came into a stream that had none: where nobody is there for them, somebody is asked for at once."""
        if not self._has_workers:
            self._wake.set()

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
        await self._read_hold()
        self._set_limits()
        workers = await self._ports.workers.observe(self.ref.uid)
        reading = await self._look()
        counts = self._counts(reading) if reading else None
        if counts is not None and await self._break(counts):
            await self._read_hold()
            self._set_limits()
        transition = lifecycle.decide(self._situation(counts, workers, now))
        if transition is None:
            self._untold = None
        else:
            await self._apply(transition, self._view(counts, workers), now)
            await self._read_hold()
            self._set_limits()
        stopped = await self._align_delivery(reading)
        await self._align_retries(workers)
        if stopped or not self._holds:  # workers are not sent away while tasks are handed to them
            await self._scale(reading, counts, workers)
        workers = await self._ports.workers.observe(self.ref.uid)
        self._has_workers = workers.desired > 0
        notice = await self._notice_of_hold(now)
        status = views.render(self.run, self._view(counts, workers), None, self._stream, now)
        over = self._draining.is_over(views.phase_of(self.run), workers, asyncio.get_running_loop().time())
        self._take(await self._reporter.report(self.run, status, last=over))
        if over:
            self.done.set()
        if notice is not None:
            await self._reporter.announce(self.run, notice.reason, notice.message)

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

    async def _break(self, counts: Counts) -> bool:
        """Whether the circuit breaker has raised a hold."""
        try:
            return await self._breaking.act(self.run, counts)
        except JobRunError as error:  # again at the next look; a broker that is away shows in other ways
            log.debug("%s/%s: can't be held yet: %s", self.ref.namespace, self.ref.name, error)
            return False

    async def _read_hold(self) -> None:
        """Of a run that releases nothing anyhow none is looked for."""
        self._held = await self._ports.holds.read(self.ref.uid) if not self._holds else None

    async def _look(self) -> Reading | None:
        """None where there is nothing to read yet, nothing more to learn, or the streams can't be read now."""
        phase = views.phase_of(self.run)
        if phase == Phase.COMPLETED:
            if self._fault is not None or not await self._is_asked_for_retries():
                return None
        elif phase.is_final or (phase == Phase.PENDING and self._releaser is None):
            return None
        mark = self._releaser.mark() if self._releaser else None
        reading = await self._looking.look(self._total, holds=self._holds)
        if reading is None:
            return None
        if self._releaser is not None and mark is not None:
            self._releaser.observed(mark, reading.depth, reading.flow)
        if reading.depth.keeps_results and not self.run.spec.results.retain:
            await self._ports.streams.results_dropped(self.ref.uid)
        return reading

    async def _is_asked_for_retries(self) -> bool:
        """Of a run that has ended."""
        tasks = self.run.status.tasks
        if tasks is None or not tasks.failed:
            return False
        asked = await self._ports.retries.asked(self.ref.uid)
        return asked is not None and asked.messages > 0

    def _counts(self, reading: Reading) -> Counts:
        return self._looking.count(reading, self._total, retain=self.run.spec.results.retain)

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
            fault=self._fault or self._looking.fault or self._releasing.fault or self._staffing.fault,
            failure_policy=run.spec.failure_policy,
            active_deadline_seconds=run.spec.active_deadline_seconds,
            started=run.status.start_time,
            lost_seconds=self._looking.lost_seconds,
            suspended_seconds=views.suspended_seconds(run, now),
        )

    def _view(self, counts: Counts | None, workers: WorkersState) -> View:
        return View(
            counts=counts,
            workers=workers,
            limited_by=self._releaser.limited_by if self._releaser else None,
            errors=self._looking.errors,
            source=self._source,
            trouble=self._trouble(workers),
            hold=self._hold_fault,
            released_per_second=self._looking.released_per_second,
            ended_per_second=self._looking.ended_per_second,
        )

    @property
    def _hold_fault(self) -> Fault | None:
        held = self._held
        if held is None:
            return None
        return Fault(Reason.named(held.why, Reason.OTHER), f"until {held.id}: {held.message or held.why}")

    async def _notice_of_hold(self, now: datetime) -> Fault | None:
        """What is to be told of a hold that has begun or ended; kept for the record already."""
        condition = self.run.status.condition(ConditionType.HELD)
        told = self._told_hold
        if told is None:
            told = str(condition.last_transition_time) if condition is not None and condition.is_true else ""
        fault = self._hold_fault
        if (fault is not None) == bool(told):
            return None
        notice = fault or Fault(Reason.HOLD_ENDED, Reason.HOLD_ENDED.sentence)
        held = self._held.id if self._held is not None else ""
        try:
            await self._reporter.record(
                self.run, f"{notice.reason.value}.{held or told}", notice.reason, notice.message, now
            )
        except JobRunError as error:
            log.debug("%s/%s: not kept for the record yet: %s", self.ref.namespace, self.ref.name, error)
            return None
        self._told_hold = held
        return notice

    def _trouble(self, workers: WorkersState) -> Fault | None:
        """What is in the run's way for now, the root first."""
        unstarted = Fault(Reason.WORKERS_FAILED, workers.error) if workers.error else None
        return (
            self._looking.trouble
            or self._untold
            or self._releasing.trouble
            or self._staffing.trouble
            or unstarted
        )

    # --- apply ------------------------------------------------------------------------------------------

    @property
    def _holds(self) -> bool:
        run = self.run
        if self._fault is not None or views.failing(run) is not None:
            return True
        return views.phase_of(run) != Phase.RUNNING or run.is_suspended

    def _hold(self) -> None:
        if self._releaser is not None:
            self._releaser.limit(None)

    def _set_limits(self) -> None:
        if self._holds:
            self._hold()
        elif self._releaser is not None and self._source is not None:
            if self._held is not None:
                self._releaser.limit(None, LimitedBy.HELD)
            else:
                self._releaser.limit(self._limits(self._source.count))

    def _limits(self, total: int) -> Limits:
        spec = self.run.spec
        known = self._known_limits
        if known is None or known[0] is not spec or known[1] != total:
            known = self._known_limits = spec, total, limits_of(self.run, total)
        return known[2]

    def _charge(self, calls: int) -> None:
        if self._releaser is not None:
            self._releaser.charge(calls)

    async def _align_retries(self, workers: WorkersState) -> None:
        """Deliver and permit them, or not, as the run's phase asks; a run that fails takes no more of them."""
        if views.failing(self.run) is not None:
            await self._retrying.close()
            return
        await self._retrying.align(paused=self._holds)
        total = self._total
        if self._holds or self._held is not None or total is None:
            self._retrying.permit(None)
            return
        limits, worker = self._limits(total), self.run.spec.worker
        self._retrying.permit(Terms(limits.rate, worker.process_slots, workers.ready * worker.processes))

    async def _align_delivery(self, reading: Reading | None) -> bool:
        """Deliver or not, as the run's phase asks; returns whether nothing is handed to workers any more."""
        phase = views.phase_of(self.run)
        if reading is None or phase == Phase.COMPLETED:
            return phase.is_final or phase == Phase.PENDING or self._looking.fault is not None
        if reading.flow.paused != self._holds:
            await self._ports.streams.pause(self.ref.uid, paused=self._holds)
        return self._holds

    async def _scale(self, reading: Reading | None, counts: Counts | None, workers: WorkersState) -> None:
        known = self._staffing.fault
        if self._holds:
            await self._staffing.dismiss(self.run, workers)
        elif self._held is not None or (reading is None and self._source is None):
            # A hold is over in an hour at most, and mostly in seconds: its workers wait for it.
            await self._staffing.keep(self.run, workers)
        else:
            await self._staffing.scale(self.run, self._observation(reading, counts, workers), workers)
        if self._staffing.fault is not known:
            self._wake.set()  # the run fails for it, at once

    def _observation(
        self, reading: Reading | None, counts: Counts | None, workers: WorkersState
    ) -> Observation:
        total = self._total or 0
        remaining = max(0, total - (counts.released if counts else 0))
        return Observation(
            asked_rate=self.run.spec.rate_per_second(total),
            release_rate=self._looking.released_per_second,
            waiting=counts.waiting if counts else None,
            outstanding=counts.outstanding if counts else None,
            completion_rate=self._looking.attempts_per_second,
            running=reading.flow.held + reading.retries.held if reading else 0,
            replicas=workers.desired,
            ready=workers.ready,
            more_to_release=remaining > 0 and self._releaser is not None,
            remaining=remaining,
            awaits_worker=self._releaser is not None and self._releaser.awaits_worker,
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
            if transition.phase == Phase.COMPLETED:
                await self._give_back_room()

    async def _give_back_room(self) -> None:
        """Tried once: clean-up gives it back as well."""
        try:
            await self._ports.streams.all_done(self.ref.uid)
        except JobRunError as error:
            log.debug("%s/%s: room is not given back yet: %s", self.ref.namespace, self.ref.name, error)

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
