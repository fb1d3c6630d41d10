"""The reads behind one step of a run, in the order that keeps the counts true.

The stream's depth is read first, then the retries, and the outcomes after both: an outcome is stored before its task
or its request leaves the stream, so what is gone from the depth has its outcome in what is read later. Final counts are
thereby read after "nothing is outstanding" was seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from jobrun_operator.engine.pace import Pace
from jobrun_operator.engine.ports import Asked, Depth, Ends, FailedAttempt, Flow, Observer
from jobrun_operator.engine.retrying import Retrying
from jobrun_operator.errors import BrokerUnavailable, Gone

NONE_ASKED = Asked(0)
KEPT_ERRORS = 5
ERRORS_SECONDS = 1.0
"""Between two looks at the records of failed attempts, where nothing else says that there are new ones (and there are
few runs)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A run's streams at about one moment."""

    depth: Depth
    flow: Flow
    ends: Ends
    retries: Asked = NONE_ASKED


class StreamGone(Gone):
    """The stream of work or of outcomes is certainly not there, and with it what was in it."""


class ConsumerGone(Gone):
    """The workers' consumer is certainly not there."""


class CountersGone(Gone):
    """What counts the outcomes is not there; the outcomes are."""


class Gatherer:
    """Reads one run's streams; remembers only the newest errors, which the next look may not show any more."""

    def __init__(self, uid: str, observer: Observer, retrying: Retrying, pace: Pace) -> None:
        self._uid = uid
        self._observer = observer
        self._retrying = retrying
        self._pace = pace
        self._last: Reading | None = None
        self._settled = False
        """The last two looks saw the same depth, and the outcomes were read at both."""
        self._errors: list[FailedAttempt] = []
        self._errors_at = float("-inf")

    @property
    def errors(self) -> Sequence[FailedAttempt]:
        """The newest first, at most five."""
        return self._errors

    async def read(self, total: int | None = None) -> Reading:
        """``total``: tasks of the run, where known; when all of them are released and gone, the counts are exact.

        Raises a kind of Gone where something is certainly not there, BrokerUnavailable where it can't tell."""
        depth = await self._observer.depth(self._uid)
        if depth is None:
            raise StreamGone(f"the stream of run {self._uid} is gone from the broker")
        retries = await self._asked(depth)
        # One after the other: with many runs, tasks to ask at once cost more than a round trip is worth.
        flow = await self._observer.flow(self._uid)
        ends = await self._ends(depth, retries, all_released=total is not None and depth.last_seq >= total)
        if ends.failed:
            await self._retrying.open(depth.source)
        if flow is None:
            raise ConsumerGone(f"the workers' consumer of run {self._uid} is gone from the broker")
        reading = Reading(depth, flow, ends, retries)
        if self._may_show_errors(reading):
            await self._read_errors()
        self._settled = self._last is not None and (self._last.depth, self._last.retries) == (depth, retries)
        self._last = reading
        return reading

    def _may_show_errors(self, reading: Reading) -> bool:
        """Dead letters and redeliveries show in what was read; a failed attempt only shows in its record until its
        retry is due, so where tasks are held the records are looked at now and then."""
        if self._last is None or reading.ends.failed != self._last.ends.failed:
            return True
        if reading.flow.redeliveries != self._last.flow.redeliveries:
            return True
        waited = asyncio.get_running_loop().time() - self._errors_at
        return reading.flow.held + reading.retries.held > 0 and waited >= self._pace.seldom(ERRORS_SECONDS)

    async def _asked(self, depth: Depth) -> Asked:
        """Without a dead letter there is nothing to be retried."""
        if self._last is not None and not self._last.ends.failed:
            return NONE_ASKED
        try:
            return await self._retrying.count() or NONE_ASKED
        except BrokerUnavailable:
            await self._read_ends(
                depth, exact=False
            )  # without a stream of outcomes there is no answer either
            raise

    async def _ends(self, depth: Depth, retries: Asked, *, all_released: bool) -> Ends:
        """Nothing has ended since the last look where no task has left the stream since the one before it: at the
        first look at a depth a counter may be a moment behind."""
        outstanding = depth.messages + retries.messages
        if self._settled and self._last is not None and outstanding and not retries.held:
            same = (self._last.depth, self._last.retries) == (depth, retries)
            if same:
                return self._last.ends
        return await self._read_ends(depth, exact=all_released and not outstanding)

    async def _read_ends(self, depth: Depth, *, exact: bool) -> Ends:
        try:
            ends = await self._observer.ends(self._uid, results=depth.keeps_results, exact=exact)
        except Gone as error:
            raise StreamGone(str(error)) from error
        if ends is None:
            raise CountersGone(f"the counters of run {self._uid} are gone from the broker")
        return ends

    async def _read_errors(self) -> None:
        self._errors_at = asyncio.get_running_loop().time()
        known = {error.index: error for error in reversed(self._errors)}
        found = list(await self._observer.last_errors(self._uid))
        if found and not known:
            found += await self._observer.first_errors(self._uid)  # what went wrong first often says why
        for error in found:
            if error.index not in known or known[error.index].seq < error.seq:
                known[error.index] = error
        self._errors = sorted(known.values(), key=lambda error: -error.seq)[:KEPT_ERRORS]
