"""The fast loop of a run: decide how many, read them, store them, look at what was stored.

It promises G1 and G3 for one run. Nothing that it remembers is trusted after an error: it reads ``last_seq`` and goes
on from there, backwards as well, where the broker has lost its tail. There is one batch in flight at a time, so that
what is charged to the bucket is what was seen to be stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from jobrun_operator.api import LimitedBy
from jobrun_operator.core import pacing
from jobrun_operator.core.lifecycle import Fault
from jobrun_operator.core.pacing import Bucket, Limits, Release, Stock
from jobrun_operator.core.reasons import Reason
from jobrun_operator.engine.pace import Pace
from jobrun_operator.engine.ports import Depth, Flow, Observer, Publisher, RunRef, TaskSource
from jobrun_operator.engine.reader import SourceReader
from jobrun_operator.engine.resting import wake_within
from jobrun_operator.errors import Conflict, JobRunError, SourceError, SourceUnavailable

log = logging.getLogger(__name__)

_FIRST_LOOK = 0.02
_LONGEST_LOOK = 0.25
"""Seconds between looks at the depth while back-pressure holds, from the first to the longest where there are few runs.
They double from look to look, so that room is found late by no more than it took to come since the first."""

_FIRST_RETRY = 0.05
_LONGEST_RETRY = 1.0
"""Seconds between tries while the broker or the source is away."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Taken before a look at the broker, so that the look can be related to what was released meanwhile."""

    released: int
    changes: int
    number: int


class Releaser:
    """Releases one run's tasks while ``limits`` are set; holds while they are None."""

    def __init__(
        self,
        run: RunRef,
        source: TaskSource,
        publisher: Publisher,
        observer: Observer,
        *,
        depth: Depth,
        flow: Flow,
        pace: Pace | None = None,
    ) -> None:
        self._run = run
        self._publisher = publisher
        self._observer = observer
        self._pace = pace or Pace()
        self._reader = SourceReader(source)
        self._wake = asyncio.Event()
        self._limits: Limits | None = None
        self._retry = _FIRST_RETRY
        self._bucket = Bucket.empty(self._now())
        self._changes = 0
        """Counts what ``released`` went through: tells a look that began before the last change."""
        self._in_flight = False
        self._full_since: float | None = None
        """Since when there has been no room, as far as is known."""
        self._held = False
        """That was so when it was last looked for, or it could not be; until then workers may have taken it all."""
        self._alone_since: float | None = None
        """Since when there has been no worker to release to."""
        self._sought = 0.0
        """When that worker was last looked for, patience with it being over."""
        self._deliveries = flow.deliveries
        self._waited = 0
        """Tasks that waited when back-pressure was last seen to hold."""
        self._repeats = _repeats(flow)
        self.released = depth.last_seq
        """``last_seq`` as last seen."""
        self._looks = 0
        self._looked = Mark(self.released, 0, 0)
        self._waiting = flow.waits(depth.last_seq, depth.messages)
        self._outstanding = depth.messages
        self.limited_by = LimitedBy.SUSPENDED
        self.trouble: Fault | None = None
        """What keeps it from releasing for now."""
        self.fault: Fault | None = None
        """What keeps it from ever releasing again."""
        self.on_first: Callable[[], None] = lambda: None
        """Called when tasks were released into a stream that had none."""

    # --- told by the run's slow loop --------------------------------------------------------------------

    def limit(self, limits: Limits | None, because: LimitedBy = LimitedBy.SUSPENDED) -> None:
        """Act on other limits; None holds. The bucket is empty after a hold and after a change of rate."""
        if limits is None:
            self.limited_by = because
        if limits == self._limits:
            return
        before, self._limits = self._limits, limits
        if limits is None or before is None or before.rate != limits.rate:
            self._bucket, self._full_since = Bucket.empty(self._now()), None
        if limits is None or limits.rate is None:
            self._alone_since = None
        elif before is None:
            self._alone_since = self._now()
        self._wake.set()

    @property
    def awaits_worker(self) -> bool:
        """Whether there are tasks to release and no worker yet to release them to."""
        limits = self._limits
        return self._alone_since is not None and limits is not None and self.released < limits.total

    def mark(self) -> Mark:
        self._looks += 1
        return Mark(self.released, self._changes, self._looks)

    def observed(self, mark: Mark, depth: Depth, flow: Flow) -> None:
        """A look at the broker that began at ``mark``."""
        self._take_look(mark, flow, depth.messages)
        undisturbed = mark.changes == self._changes and not self._in_flight
        if depth.last_seq > self.released or (undisturbed and depth.last_seq < self.released):
            self._see(depth.last_seq)
            self._wake.set()

    # --- the loop ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled, or until ``fault`` is set."""
        async with self._reader:
            while self.fault is None:
                self._wake.clear()
                before = self.released
                try:
                    await self._once()
                except SourceError as error:
                    self.fault = Fault(Reason.SOURCE_CHANGED, str(error))
                except JobRunError as error:
                    # What the broker refuses for good is tried again too: only a user can tell whether it is.
                    self._in_trouble(error)
                    await self._sleep(self._retry)
                    self._retry = min(self._retry * 2, _LONGEST_RETRY)
                    await self._resync()
                    if self.released > before:
                        self._out_of_trouble()  # it was stored, and only the answer was lost

    async def _once(self) -> None:
        limits, now = self._limits, self._now()
        if limits is None:
            self._out_of_trouble()
            await self._wake.wait()
            return
        stock = self._stock()
        if self._alone_since is not None:
            if pacing.first_worker_wait(limits, stock, self._alone_since, now) > 0:
                await self._wait_for_worker(limits)
                return
            if now - self._sought >= self._pace.interval(_LONGEST_LOOK):
                self._sought = now
                await self._look()
                return
        else:
            self._notice_hold(limits, stock, now)
        release = pacing.decide(limits, stock, self._bucket, now)
        if release.count:
            # In trouble a single one first: where an account is at its limits, it is refused with the reason, while a
            # batch is stored in part and gets no answer (seen in nats-server 2.15.1).
            count = 1 if self.trouble else release.count
            await self._release(count, release.limited_by, limits)
            return
        if release.limited_by == LimitedBy.ALL_RELEASED:
            self._out_of_trouble()
            await self._reader.aclose()
        before_looking = self._before_looking_for_room(release, now)
        if self.trouble is None:
            self.limited_by = LimitedBy.RATE if before_looking else release.limited_by
        if before_looking:
            await wake_within(before_looking, self._wake)
        elif release.limited_by in (LimitedBy.WAITING, LimitedBy.OUTSTANDING):
            await self._wait_for_room(release.limited_by)
        elif release.wait is not None and self._alone_since is not None:
            await wake_within(min(release.wait, self._pace.interval(_LONGEST_LOOK)), self._wake)
        else:
            await wake_within(release.wait, self._wake)

    async def _release(self, count: int, limited_by: LimitedBy, limits: Limits) -> None:
        after, bucket = self.released, self._bucket
        payloads = await self._reader.take(after, count)
        if self._limits is not limits or self.released != after or self._bucket is not bucket:
            return  # decided on what is not so any more: reading can take its time
        was_empty = self._outstanding + after - self._looked.released == 0
        self._in_flight = True
        try:
            last = await self._publisher.release(self._run.uid, after, payloads)
        except Conflict:
            last = None
        finally:
            self._in_flight = False
            self._changes += 1
        self._out_of_trouble()
        if last is None:
            log.info("%s: somebody else released meanwhile; going on behind it", self._run)
            await self._resync()
            if self.released == after:
                await self._sleep(_FIRST_RETRY)  # the broker contradicts itself; it may be changing leaders
            return
        self.limited_by = limited_by
        self._reader.advance(len(payloads))
        if last > self.released:  # else a look has seen it before the answer came, and charged it
            self._see(last)
        if was_empty:
            self.on_first()

    async def _wait_for_worker(self, limits: Limits) -> None:
        """Look again, less and less often, until a worker asks for tasks, patience ends or something has changed."""
        pause = _FIRST_LOOK
        while not self._wake.is_set() and self._alone_since is not None:
            await self._look()
            self._out_of_trouble()
            self.limited_by = LimitedBy.WAITING
            if self._limits is not limits or self._alone_since is None:
                return
            left = pacing.first_worker_wait(limits, self._stock(), self._alone_since, self._now())
            if left <= 0:
                return
            await self._sleep(min(pause, left))
            pause = min(pause * 2, self._pace.interval(_LONGEST_LOOK))

    def _before_looking_for_room(self, release: Release, now: float) -> float:
        """Seconds to go until room is looked for, where there is none as far as is known; 0: at once, or not at all."""
        if release.limited_by not in (LimitedBy.WAITING, LimitedBy.OUTSTANDING):
            return 0.0
        if self._full_since is None or release.wait is None or self.trouble is not None:
            return 0.0  # a look also tells whether a trouble is over
        return max(0.0, pacing.first_look_for_room(self._full_since, now + release.wait) - now)

    async def _wait_for_room(self, limited_by: LimitedBy) -> None:
        """Look again, less and less often, until there is room or something else has changed."""
        pause = _FIRST_LOOK
        while not self._wake.is_set():
            await self._look()
            self._out_of_trouble()
            self.limited_by = limited_by
            stock = self._stock()
            if self._limits is None or pacing.room(self._limits, stock) > 0:
                return
            self._waited, self._held = stock.waiting, True
            await self._sleep(pause)
            pause = min(pause * 2, self._pace.interval(_LONGEST_LOOK))

    async def _look(self) -> None:
        mark = self.mark()
        flow = await self._observer.flow(self._run.uid)
        if flow is not None:
            self._take_look(mark, flow)

    def _notice_hold(self, limits: Limits, stock: Stock, now: float) -> None:
        if pacing.room(limits, stock) <= 0:
            if self._full_since is None:
                self._full_since, self._held = now, False
            self._waited = stock.waiting
        elif self._full_since is not None:
            since, self._full_since = self._full_since, None
            if self._held and limits.rate is not None:
                self._bucket = pacing.after_hold(self._bucket, limits.rate, self._waited, since, now)

    # --- what is known ----------------------------------------------------------------------------------

    def _stock(self) -> Stock:
        since = max(0, self.released - self._looked.released)
        return Stock(self.released, self._waiting + since, self._outstanding + since)

    def _see(self, last_seq: int) -> None:
        """``last_seq`` was seen: charge its growth, whoever caused it."""
        growth = last_seq - self.released
        self.released = last_seq
        self._changes += 1
        if growth < 0:
            log.warning("%s: the broker lost %d released tasks; they are released again", self._run, -growth)
            self._looks += 1  # looks that are under way saw more than there is
            self._looked = Mark(last_seq, self._changes, self._looks)
        else:
            self.charge(growth)

    def charge(self, tasks: int) -> None:
        """So many calls were seen, of tasks that were released now or before."""
        if tasks and self._limits is not None and self._limits.rate is not None:
            self._bucket = self._bucket.refilled(self._limits.rate, self._now()).charged(tasks)

    def _take_look(self, mark: Mark, flow: Flow, messages: int | None = None) -> None:
        """``messages``: what is left in the stream, where that was looked at too."""
        if mark.number < self._looked.number:
            return  # a later look was answered sooner
        before = self._stock()
        waited = before.waiting
        waiting = flow.waits(mark.released, before.outstanding if messages is None else messages)
        self._looked, self._waiting = mark, waiting
        self._outstanding = waiting + flow.held if messages is None else messages
        self._notice_worker(flow, waited)
        growth, self._repeats = _repeats(flow) - self._repeats, _repeats(flow)
        self.charge(max(0, growth))  # it goes back when the broker was killed or the consumer made again

    def _notice_worker(self, flow: Flow, waited: int) -> None:
        """``waited``: tasks that waited at the last look, or were released since: some may have been taken already."""
        rate = self._limits.rate if self._limits else None
        taken, self._deliveries = flow.deliveries > self._deliveries, flow.deliveries
        if self._limits is None or rate is None or self._alone_since is None:
            return
        if flow.paused or not (flow.pulls or taken):
            return
        if pacing.first_worker_wait(self._limits, self._stock(), self._alone_since, self._now()) > 0:
            self._bucket = Bucket.empty(self._now())
        self._alone_since = None
        self._bucket = pacing.after_first_worker(self._bucket, rate, waited, self._now())
        self._wake.set()

    async def _resync(self) -> None:
        with contextlib.suppress(JobRunError):
            depth = await self._observer.depth(self._run.uid)
            if depth is not None:
                self._see(depth.last_seq)

    def _in_trouble(self, error: JobRunError) -> None:
        from_source = isinstance(error, SourceUnavailable)
        reason = Reason.SOURCE_UNAVAILABLE if from_source else Reason.BROKER_UNAVAILABLE
        trouble = Fault(reason, str(error))
        if self.trouble != trouble:
            log.warning("%s: releasing waits: %s", self._run, error)
        self.trouble, self._held = trouble, True
        self.limited_by = LimitedBy.HELD if from_source else LimitedBy.BROKER

    def _out_of_trouble(self) -> None:
        self.trouble, self._retry = None, _FIRST_RETRY

    async def _sleep(self, seconds: float) -> None:
        """Until ``seconds`` have passed or something has changed, which can be told apart."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _repeats(flow: Flow) -> int:
    """Deliveries that were not a task's first, but for a constant: a consumer that was made again begins to count
    deliveries at zero, and sequences at what was left in the stream."""
    return flow.deliveries - flow.first_deliveries
