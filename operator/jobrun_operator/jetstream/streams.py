"""Makes and ends the streams of runs, and what an installation has once."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.errors import JobRunError
from jobrun_operator.jetstream import layout
from jobrun_operator.jetstream.client import JetStream, NotFound, Refused
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_worker import wire

log = logging.getLogger(__name__)

_EXISTS = {10058, 10148}
"""A stream, or a consumer, of that name exists with another configuration."""


class JetStreamWorkStreams:
    """The ``WorkStreams`` port."""

    def __init__(self, js: JetStream, settings: LayoutSettings) -> None:
        self._js = js
        self._settings = settings
        self._names = settings.names

    async def provision_installation(self) -> None:
        """The audit stream and the buckets; once at start."""
        await self._create_stream(layout.events_stream(self._settings))
        await self._create_stream(layout.status_bucket(self._names, self._settings.replicas))
        await self._create_stream(layout.control_bucket(self._names, self._settings.replicas))

    async def provision(self, run: RunRef, source: SourceSummary, *, keeps_results: bool = False) -> None:
        # Outcomes first: from the moment that a task can be taken, its outcome can be stored.
        meta = layout.metadata(self._settings, run, source, keeps_results=keeps_results)
        await self._create_stream(layout.out_stream(self._settings, run.uid, meta))
        await self.rebuild_counters(run.uid)
        await self._create_stream(layout.work_stream(self._settings, run.uid, meta))
        await self._create_consumer(self._names.work_stream(run.uid), layout.workers_consumer(self._settings))

    async def pause(self, uid: str, *, paused: bool) -> None:
        body = {"pause_until": layout.FOR_EVER} if paused else None
        await self._js.api(f"CONSUMER.PAUSE.{self._names.work_stream(uid)}.{wire.CONSUMER}", body)

    async def rebuild_consumer(self, uid: str, *, paused: bool) -> None:
        work = self._names.work_stream(uid)
        with contextlib.suppress(NotFound):  # removed by somebody else, or by the broker itself
            await self._js.api(f"CONSUMER.DELETE.{work}.{wire.CONSUMER}")
        await self._create_consumer(work, layout.workers_consumer(self._settings, paused=paused))

    async def rebuild_counters(self, uid: str) -> None:
        for name in (layout.FAILED, layout.SUCCEEDED):
            await self._create_consumer(
                self._names.out_stream(uid), layout.counting_consumer(self._settings, uid, name)
            )

    async def results_dropped(self, uid: str) -> None:
        stream = self._names.work_stream(uid)
        config = (await self._js.api(f"STREAM.INFO.{stream}"))["config"]
        config["metadata"] = config.get("metadata", {}) | layout.NO_RESULTS
        await self._js.api(f"STREAM.UPDATE.{stream}", config)

    async def delete(self, uid: str) -> None:
        # Work first: what is left without a place for its outcome must not be taken any more.
        for stream in (self._names.work_stream(uid), self._names.out_stream(uid)):
            try:
                await self._check_owner(stream)
                await self._js.api(f"STREAM.DELETE.{stream}")
            except NotFound:
                log.debug("%s is gone already", stream)

    async def _create_stream(self, config: dict[str, Any]) -> None:
        try:
            await self._js.api(f"STREAM.CREATE.{config['name']}", config)
        except Refused as error:
            if error.code not in _EXISTS:
                raise
            # Made by an earlier version or with other settings: what is in it counts more than how it is set.
            if "metadata" in config:
                await self._check_owner(config["name"])

    async def _check_owner(self, stream: str) -> None:
        """Raises NotFound where it is not there, JobRunError where it is not ours."""
        info = await self._js.api(f"STREAM.INFO.{stream}")
        theirs = (info["config"].get("metadata") or {}).get("jobrun-installation")
        if theirs != self._settings.installation:
            raise JobRunError(
                f"stream {stream} on the broker belongs to another installation ({theirs or 'unknown'}); "
                "use another prefix or another broker account"
            )

    async def _create_consumer(self, stream: str, config: dict[str, Any]) -> None:
        name = config["durable_name"]
        # "create", not the default upsert: that one would also undo a pause.
        body = {"stream_name": stream, "config": config | {"name": name}, "action": "create"}
        try:
            await self._js.api(f"CONSUMER.CREATE.{stream}.{name}", body)
        except Refused as error:
            if error.code not in _EXISTS:
                raise
