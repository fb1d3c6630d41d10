"""Makes and ends the streams of runs, and what an installation has once."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.jetstream import layout
from jobrun_operator.jetstream.client import JetStream, NotFound
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.making import Maker
from jobrun_worker import wire

log = logging.getLogger(__name__)


class JetStreamWorkStreams:
    """The ``WorkStreams`` port."""

    def __init__(self, js: JetStream, settings: LayoutSettings) -> None:
        self._js = js
        self._settings = settings
        self._names = settings.names
        self._make = Maker(js, settings)

    async def provision_installation(self) -> None:
        """The audit stream and the buckets; once at start."""
        await self._make.stream(layout.events_stream(self._settings))
        await self._make.stream(layout.status_bucket(self._names, self._settings.replicas))
        await self._make.stream(layout.control_bucket(self._names, self._settings.replicas))

    async def provision(self, run: RunRef, source: SourceSummary, *, keeps_results: bool = False) -> None:
        # Outcomes first: from the moment that a task can be taken, its outcome can be stored.
        meta = layout.metadata(self._settings, run, source, keeps_results=keeps_results)
        await self._make.stream(layout.out_stream(self._settings, run.uid, meta))
        await self.rebuild_counters(run.uid)
        await self._make.stream(layout.work_stream(self._settings, run.uid, source, meta))
        await self._make.consumer(self._names.work_stream(run.uid), layout.workers_consumer(self._settings))

    async def pause(self, uid: str, *, paused: bool) -> None:
        body = {"pause_until": layout.FOR_EVER} if paused else None
        await self._js.api(f"CONSUMER.PAUSE.{self._names.work_stream(uid)}.{wire.CONSUMER}", body)

    async def rebuild_consumer(self, uid: str, *, paused: bool) -> None:
        work = self._names.work_stream(uid)
        with contextlib.suppress(NotFound):  # removed by somebody else, or by the broker itself
            await self._js.api(f"CONSUMER.DELETE.{work}.{wire.CONSUMER}")
        await self._make.consumer(work, layout.workers_consumer(self._settings, paused=paused))

    async def rebuild_counters(self, uid: str) -> None:
        for name in (layout.FAILED, layout.SUCCEEDED):
            await self._make.consumer(
                self._names.out_stream(uid), layout.counting_consumer(self._settings, uid, name)
            )

    async def results_dropped(self, uid: str) -> None:
        await self._change(uid, lambda config: {"metadata": config.get("metadata", {}) | layout.NO_RESULTS})

    async def all_done(self, uid: str) -> None:
        if self._settings.work_max_bytes >= 0:
            await self._change(uid, lambda _: {"max_bytes": layout.NO_ROOM})

    async def _change(self, uid: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Of what is set for a run's work stream."""
        stream = self._names.work_stream(uid)
        config = (await self._js.api(f"STREAM.INFO.{stream}"))["config"]
        await self._js.api(f"STREAM.UPDATE.{stream}", config | change(config))

    async def delete(self, uid: str) -> None:
        # Outcomes last: what is left without a place for its outcome must not be taken any more.
        names = self._names
        for stream in (names.retry_stream(uid), names.work_stream(uid), names.out_stream(uid)):
            try:
                await self._make.check_owner(stream)
                await self._js.api(f"STREAM.DELETE.{stream}")
            except NotFound:
                log.debug("%s is gone already", stream)
