"""The fast side of a run: prepares, as often as it takes, then releases.

What it finds stands in its attributes for the slow side to look at: it writes nothing and decides nothing about phases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobrun_operator.api import JobRun, Phase
from jobrun_operator.core.lifecycle import Fault
from jobrun_operator.core.reasons import Reason
from jobrun_operator.engine import view as views
from jobrun_operator.engine.pace import Pace
from jobrun_operator.engine.ports import (
    Observer,
    Publisher,
    RunRef,
    SourceSummary,
    TaskSource,
    WorkStreams,
)
from jobrun_operator.engine.prepare import Prepared, SourceChanged, prepare
from jobrun_operator.engine.releaser import Releaser
from jobrun_operator.errors import Gone, InputError, JobRunError, SourceUnavailable

_FIRST_WAIT = 0.25
LONGEST_WAIT = 10.0
"""Seconds between tries to read a source that is not there yet."""


class Releasing:
    """``releaser`` is there from when the run is ready to be released from."""

    def __init__(
        self,
        run: RunRef,
        *,
        open_source: Callable[[JobRun], TaskSource],
        streams: WorkStreams,
        observer: Observer,
        publisher: Publisher,
        pace: Pace,
        wake: Callable[[], None],
        on_first: Callable[[], None],
    ) -> None:
        """``wake`` is called whenever there is something new to look at, ``on_first`` when tasks were released into a
        stream that had none."""
        self._run = run
        self._open_source = open_source
        self._streams = streams
        self._observer = observer
        self._publisher = publisher
        self._pace = pace
        self._wake = wake
        self._on_first = on_first
        self._unprepared: Fault | None = None
        self._fault: Fault | None = None
        self.releaser: Releaser | None = None
        self.source: SourceSummary | None = None

    @property
    def trouble(self) -> Fault | None:
        """Why releasing can't begin or go on for now."""
        return self.releaser.trouble if self.releaser else self._unprepared

    @property
    def fault(self) -> Fault | None:
        """Why the run can't be released from ever again."""
        return self._fault or (self.releaser.fault if self.releaser else None)

    def fail(self, fault: Fault) -> None:
        """Begin nothing any more."""
        self._fault = self._fault or fault

    async def main(self, current: Callable[[], JobRun]) -> None:
        """Until cancelled, or until there is a ``fault``, or the run has failed for another reason."""
        wait = _FIRST_WAIT
        while not (views.phase_of(current()).is_final or views.failing(current()) or self.fault):
            try:
                source = self._open_source(current())
                prepared = await self._prepare(current(), source)
            except Gone as error:
                self._fault = Fault(Reason.STREAM_LOST, str(error))
            except InputError as error:
                changed = isinstance(error, SourceChanged)
                self._fault = Fault(Reason.SOURCE_CHANGED if changed else Reason.INVALID_SOURCE, str(error))
            except JobRunError as error:
                # What the broker refuses for good is tried again too: only a user can tell whether it is.
                unavailable = isinstance(error, SourceUnavailable)
                reason = Reason.SOURCE_UNAVAILABLE if unavailable else Reason.BROKER_UNAVAILABLE
                self._unprepared = Fault(reason, str(error))
                self._wake()
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)
            else:
                releaser = self._make_releaser(source, prepared)
                self._wake()
                await releaser.run()

    async def _prepare(self, run: JobRun, source: TaskSource) -> Prepared:
        return await prepare(
            self._run,
            source,
            self._streams,
            self._observer,
            begun=views.phase_of(run) != Phase.PENDING,
            keeps_results=run.spec.results.retain,
        )

    def _make_releaser(self, source: TaskSource, prepared: Prepared) -> Releaser:
        self.source = prepared.summary
        self.releaser = Releaser(
            self._run,
            source,
            self._publisher,
            self._observer,
            depth=prepared.depth,
            flow=prepared.flow,
            pace=self._pace,
        )
        self.releaser.on_first = self._on_first
        return self.releaser
