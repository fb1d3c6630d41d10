"""The retries of one run: counted at every look, and permitted at the rate of the run.

A request for a retry waits on the broker until a worker takes it, and workers take none without a permit. Permits come
of a bucket of their own, as fast as the run's rate; what was begun is charged to the bucket that tasks are released by,
as redeliveries are, so that the calls of both together keep to the rate on average. A permit that nobody uses lapses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from jobrun_operator.core import pacing, stuck
from jobrun_operator.core.pacing import Bucket, Rate
from jobrun_operator.engine.ports import Asked, Retries, RunRef, SourceSummary
from jobrun_operator.errors import JobRunError

log = logging.getLogger(__name__)

_TICK = 0.1
"""Seconds between two rounds of permits."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On which retries are begun. ``rate`` None: as fast as workers take them."""

    rate: Rate | None
    at_a_time: int
    """Tasks that one process of a worker has at a time; a permit reaches one process, and what it can't use lapses."""
    processes: int
    """Of all workers together."""


class Retrying:
    def __init__(
        self, run: RunRef, retries: Retries, charge: Callable[[int], None], keeps_results: Callable[[], bool]
    ) -> None:
        """``charge`` is told of so many calls beside those of released tasks; ``keeps_results``: by now, whatever
        it was when the run began."""
        self._run = run
        self._retries = retries
        self._charge = charge
        self._keeps_results = keeps_results
        self._asked: Asked | None = None
        self._stuck = stuck.Watch()
        self._opened = self._closed = False
        self._terms: Terms | None = None
        self._bucket = Bucket.empty(0.0)
        self._wake = asyncio.Event()

    async def count(self) -> Asked | None:
        """What is asked for, when all that has succeeded has taken the place of its dead letter.

        To be read before the dead letters are counted: one that is on its way out is counted here and there until then.
        """
        if self._closed:
            return None
        while True:
            asked = await self._retries.asked(self._run.uid)
            if asked is None or not await self._retries.settle(self._run.uid, keep=self._keeps_results()):
                break
        before = self._asked.deliveries if self._asked is not None else None
        self._asked, self._opened = asked, asked is not None
        if asked is not None and before is not None:
            self._charge(max(0, asked.deliveries - before))
        if asked is not None and asked.messages:
            self._wake.set()
        if asked is not None:
            await self._mend(asked)
        return asked

    async def _mend(self, asked: Asked) -> None:
        """A consumer that has lost sight of the requests that are left is made again."""
        look = stuck.Look(0, asked.messages, asked.waiting, asked.held, asked.deliveries)
        self._stuck = self._stuck.after(look)
        if self._stuck.is_stuck:
            log.warning(
                "%s: %d retries are out of the consumer's sight; it is made again",
                self._run,
                asked.messages,
            )
            await self._retries.rebuild(self._run.uid, paused=asked.paused)
            self._stuck = stuck.Watch()

    async def open(self, source: SourceSummary | None) -> None:
        """There are dead letters: from now on they may be retried."""
        if not (self._opened or self._closed) and source is not None:
            await self._retries.open(self._run, source)
            self._opened = True

    async def close(self) -> None:
        """The run fails: nothing of it is tried any more."""
        if not self._closed:
            await self._retries.close(self._run.uid)
            self._closed, self._asked = True, None

    async def align(self, *, paused: bool) -> None:
        """Deliver retries or not, as the run's phase asks."""
        if self._asked is not None and self._asked.messages and self._asked.paused != paused:
            await self._retries.pause(self._run.uid, paused=paused)

    def permit(self, terms: Terms | None) -> None:
        """Permit retries on these terms; None: none. The bucket is empty after a hold and after a change of rate."""
        before, self._terms = self._terms, terms
        if terms is not None and (before is None or before.rate != terms.rate):
            self._bucket = Bucket.empty(_now())
            self._wake.set()

    async def main(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            asked, terms = self._asked, self._terms
            if asked is None or not asked.messages or terms is None:
                self._wake.clear()
                continue
            most = min(asked.messages, terms.at_a_time * max(1, terms.processes))
            permits, self._bucket = pacing.permits(terms.rate, self._bucket, most, _now())
            if permits:
                try:
                    await self._retries.permit(self._run.uid, permits, terms.at_a_time)
                except JobRunError as error:
                    log.debug("run %s: no permits: %s", self._run.uid, error)
            await asyncio.sleep(_TICK)


def _now() -> float:
    return asyncio.get_running_loop().time()
