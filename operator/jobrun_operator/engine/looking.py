"""The eyes of a run: look at its streams, mend what can be mended there, and tell how the counts move.

It decides nothing about the run's phase. What it can't see stands in its attributes: ``fault`` for good, ``trouble``
for now.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from jobrun_operator.core import counts as counting
from jobrun_operator.core import stuck
from jobrun_operator.core.counts import Counts
from jobrun_operator.core.lifecycle import Fault
from jobrun_operator.core.rates import RateWindow
from jobrun_operator.core.reasons import Reason
from jobrun_operator.engine.gather import ConsumerGone, CountersGone, Gatherer, Reading, StreamGone
from jobrun_operator.engine.pace import Pace
from jobrun_operator.engine.ports import FailedAttempt, Observer, RunRef, SourceSummary, WorkStreams
from jobrun_operator.engine.retrying import Retrying
from jobrun_operator.errors import JobRunError, TemporaryError

log = logging.getLogger(__name__)

STALLED_SECONDS = 5.0
"""Tasks are held and none has ended for so long (where there are few runs): time to ask whether their outcomes can be
stored at all."""


class Looking:
    """Of one run. Rates are in tasks per second, over the last seconds."""

    def __init__(
        self, run: RunRef, streams: WorkStreams, observer: Observer, retrying: Retrying, pace: Pace
    ) -> None:
        self._run = run
        self._pace = pace
        self._streams = streams
        self._observer = observer
        self._gatherer = Gatherer(run.uid, observer, retrying, pace)
        self._stuck = stuck.Watch()
        self._lost_since: float | None = None
        self._released = RateWindow(5.0)
        self._finished_attempts = RateWindow()
        self._ended = RateWindow(30.0)
        self.promised: SourceSummary | None = None
        """What the stream says that it was made for."""
        self.fault: Fault | None = None
        """The streams are gone, and the run with them."""
        self._gone = 0
        self._asked = 0.0
        self._unread: Fault | None = None
        self._refusal: Fault | None = None

    @property
    def trouble(self) -> Fault | None:
        """Why the streams could not be read at the last look, or why outcomes can't be stored."""
        return self._unread or self._refusal

    @property
    def errors(self) -> tuple[FailedAttempt, ...]:
        return tuple(self._gatherer.errors)

    @property
    def released_per_second(self) -> float:
        return self._released.rate(_now()) or 0.0

    @property
    def ended_per_second(self) -> float:
        return self._ended.rate(_now()) or 0.0

    @property
    def attempts_per_second(self) -> float | None:
        """Attempts that finished, failed ones included; None where that is not measured yet."""
        return self._finished_attempts.rate(_now())

    @property
    def lost_seconds(self) -> float:
        """For how long outcomes have been missing from a run with nothing outstanding."""
        return 0.0 if self._lost_since is None else _now() - self._lost_since

    async def look(self, total: int | None, *, holds: bool) -> Reading | None:
        """None where the streams are gone, can't be read now, or had to be mended first.

        ``total``: tasks of the run, where known. ``holds``: nothing is to be handed to workers now.
        """
        if self.fault is not None:
            return None
        try:
            reading = await self._gatherer.read(total)
        except StreamGone as error:
            self.fault = Fault(Reason.STREAM_LOST, str(error))
            return None
        except ConsumerGone:
            await self._streams.rebuild_consumer(self._run.uid, paused=holds)
            return None
        except CountersGone:
            await self._streams.rebuild_counters(self._run.uid)
            return None
        except TemporaryError as error:
            self._unread = Fault(Reason.BROKER_UNAVAILABLE, str(error))
            return None
        self._unread = None
        self.promised = reading.depth.source
        await self._mend(reading, holds=holds)
        await self._ask_for_room(reading)
        return reading

    async def _ask_for_room(self, reading: Reading) -> None:
        """Workers whose outcomes are refused keep their tasks: from here that looks like slow handlers."""
        gone = reading.depth.last_seq - reading.depth.messages
        if gone != self._gone or not (reading.flow.held or reading.retries.held):
            self._gone, self._asked, self._refusal = gone, _now(), None
        elif _now() - self._asked >= self._pace.seldom(STALLED_SECONDS):
            self._asked = _now()
            with contextlib.suppress(JobRunError):  # a broker that does not answer shows at the next look
                refusal = await self._observer.refusal(self._run.uid)
                self._refusal = Fault(Reason.BROKER_UNAVAILABLE, refusal) if refusal else None

    async def _mend(self, reading: Reading, *, holds: bool) -> None:
        """A consumer that has lost sight of what is left in the stream is made again."""
        depth, flow = reading.depth, reading.flow
        look = stuck.Look(depth.last_seq, depth.messages, flow.waiting, flow.held, flow.deliveries)
        self._stuck = self._stuck.after(look)
        if self._stuck.is_stuck:
            log.warning(
                "%s: %d tasks are out of the consumer's sight; it is made again",
                self._run,
                depth.messages,
            )
            await self._streams.rebuild_consumer(self._run.uid, paused=holds)
            self._stuck = stuck.Watch()

    def count(self, reading: Reading, total: int | None, *, retain: bool) -> Counts:
        """What was read, as counts; the rates move on with it. ``retain``: the run keeps results."""
        kept = retain and reading.depth.keeps_results
        counts = counting.count(
            total=reading.depth.last_seq if total is None else total,
            last_seq=reading.depth.last_seq,
            messages=reading.depth.messages,
            waiting=reading.flow.waiting + reading.retries.waiting,
            failed=reading.ends.failed,
            kept=reading.ends.succeeded if kept else None,
            redeliveries=reading.flow.redeliveries,
            retrying=reading.retries.messages,
        )
        now = _now()
        self._released.add(now, counts.released)
        self._ended.add(now, counts.ended)
        finished = (
            reading.flow.deliveries - reading.flow.held + reading.retries.deliveries - reading.retries.held
        )
        self._finished_attempts.add(now, max(0, finished))
        if not counts.lost:
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = now
        return counts


def _now() -> float:
    return asyncio.get_running_loop().time()
