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
from jobrun_operator.core.pacing import Bucket, Limits, Stock
from jobrun_operator.core.reasons import Reason
from jobrun_operator.engine.ports import Depth, Flow, Observer, Publisher, TaskSource
from jobrun_operator.engine.reader import SourceReader
from jobrun_operator.errors import Conflict, JobRunError, SourceError, TemporaryError

log = logging.getLogger(__name__)

_FIRST_LOOK = 0.02
_LONGEST_LOOK = 0.25
"""Seconds between looks at the depth while back-pressure holds, from the first to the longest."""

_FIRST_RETRY = 0.05
_LONGEST_RETRY = 1.0
"""Seconds between tries while the broker or the source is away."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Taken before a look at the broker, so that the look can be related to what was released meanwhile."""

    released: int
    acks: int


class Releaser:
    """Releases one run's tasks while ``limits`` are set; holds while they are None."""

    def __init__(
        self,
        uid: str,
        source: TaskSource,
        publisher: Publisher,
        observer: Observer,
        *,
        depth: Depth,
        flow: Flow,
    ) -> None:
        self._uid = uid
        self._publisher = publisher
        self._observer = observer
        self._reader = SourceReader(source)
        self._wake = asyncio.Event()
        self._limits: Limits | None = None
        self._bucket = Bucket.empty(self._now())
        self._acks = 0
        """Batches that were answered, well or badly: tells a look that began before the last one."""
        self._in_flight = False
        self._held_since: float | None = None
        self._redeliveries = flow.redeliveries
        self.released = depth.last_seq
        """``last_seq`` as last seen."""
        self._looked = Mark(self.released, 0)
        self._waiting = flow.waiting
        self._outstanding = depth.messages
        self.limited_by = LimitedBy.SUSPENDED
        self.trouble: str | None = None
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
        if limits is not None and (before is None or before.rate != limits.rate):
            self._bucket = Bucket.empty(self._now())
        self._wake.set()

    @property
    def idle(self) -> bool:
        """No batch is on its way to the broker."""
        return not self._in_flight

    def mark(self) -> Mark:
        return Mark(self.released, self._acks)

    def observed(self, mark: Mark, depth: Depth, flow: Flow) -> None:
        """A look at the broker that began at ``mark``."""
        self._charge_redeliveries(flow)
        if mark.released >= self._looked.released:
            self._looked, self._waiting, self._outstanding = mark, flow.waiting, depth.messages
        undisturbed = mark.acks == self._acks and not self._in_flight
        if depth.last_seq > self.released or (undisturbed and depth.last_seq < self.released):
            self._see(depth.last_seq)
            self._wake.set()

    # --- the loop ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled, or until ``fault`` is set."""
        async with self._reader:
            retry = _FIRST_RETRY
            while self.fault is None:
                self._wake.clear()
                try:
                    await self._once()
                    self.trouble, retry = None, _FIRST_RETRY
                except TemporaryError as error:
                    self._in_trouble(str(error))
                    await self._sleep(retry)
                    retry = min(retry * 2, _LONGEST_RETRY)
                    await self._resync()
                except SourceError as error:
                    self.fault = Fault(Reason.SOURCE_CHANGED, str(error))
                except JobRunError as error:
                    # Refused for good, as far as the broker is concerned; but only a user can tell.
                    self._in_trouble(str(error))
                    await self._sleep(_LONGEST_RETRY)
                    await self._resync()

    async def _once(self) -> None:
        limits = self._limits
        if limits is None:
            await self._wake.wait()
            return
        release = pacing.decide(limits, self._stock(), self._bucket, self._now())
        self.limited_by = release.limited_by
        if release.count:
            if not self._resume_from_hold():
                await self._release(release.count)
        elif release.limited_by in (LimitedBy.WAITING, LimitedBy.OUTSTANDING):
            await self._wait_for_room()
        else:
            await self._sleep(release.wait)

    async def _release(self, count: int) -> None:
        payloads = await self._reader.take(self.released, count)
        if self._limits is None:
            return  # held while the source was read
        was_empty = self._outstanding + self.released - self._looked.released == 0
        self._in_flight = True
        try:
            last = await self._publisher.release(self._uid, self.released, payloads)
        except Conflict:
            log.info("run %s: somebody else released meanwhile; going on behind it", self._uid)
            self._in_flight, self._acks = False, self._acks + 1
            await self._resync()
            return
        finally:
            self._in_flight, self._acks = False, self._acks + 1
        self._reader.advance(len(payloads))
        self._see(last)
        if was_empty:
            self.on_first()

    async def _wait_for_room(self) -> None:
        """Look again, less and less often, until there is room or something else has changed."""
        if self._held_since is None:
            self._held_since = self._now()
        pause = _FIRST_LOOK
        while not self._wake.is_set():
            mark = self.mark()
            flow = await self._observer.flow(self._uid)
            if flow is not None:
                self._charge_redeliveries(flow)
                self._looked, self._waiting, self._outstanding = mark, flow.waiting, flow.waiting + flow.held
            if self._limits is None or pacing.room(self._limits, self._stock()) > 0:
                return
            await self._sleep(pause)
            pause = min(pause * 2, _LONGEST_LOOK)

    def _resume_from_hold(self) -> bool:
        """After a long hold what still waits is charged as well: those tasks are called as soon as there are workers
        again, and calls are what the rate is for. True where it was."""
        since, self._held_since = self._held_since, None
        if since is None or self._now() - since < pacing.LONG_HOLD:
            return False
        waiting = self._stock().waiting
        self._charge(waiting)
        return waiting > 0

    # --- what is known ----------------------------------------------------------------------------------

    def _stock(self) -> Stock:
        since = max(0, self.released - self._looked.released)
        return Stock(self.released, self._waiting + since, self._outstanding + since)

    def _see(self, last_seq: int) -> None:
        """``last_seq`` was seen: charge its growth, whoever caused it."""
        growth = last_seq - self.released
        self.released = last_seq
        if growth < 0:
            log.warning(
                "run %s: the broker lost %d released tasks; they are released again", self._uid, -growth
            )
            self._looked = Mark(last_seq, self._acks)
        else:
            self._charge(growth)

    def _charge(self, tasks: int) -> None:
        if tasks and self._limits is not None and self._limits.rate is not None:
            self._bucket = self._bucket.refilled(self._limits.rate, self._now()).charged(tasks)

    def _charge_redeliveries(self, flow: Flow) -> None:
        growth, self._redeliveries = flow.redeliveries - self._redeliveries, flow.redeliveries
        self._charge(max(0, growth))  # it can go back when the broker was killed

    async def _resync(self) -> None:
        with contextlib.suppress(JobRunError):
            depth = await self._observer.depth(self._uid)
            if depth is not None:
                self._see(depth.last_seq)

    def _in_trouble(self, what: str) -> None:
        if self.trouble != what:
            log.warning("run %s: releasing waits: %s", self._uid, what)
        self.trouble = what
        self.limited_by = LimitedBy.BROKER

    async def _sleep(self, seconds: float | None) -> None:
        """Until ``seconds`` have passed (None: without end) or something has changed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
