"""The ``Retries`` port: dead letters that are tried once more.

Who wants one retried puts a request into the run's stream of retries, where it stays until its outcome is stored. A
worker that succeeds stores a note beside the dead letter, which it may not remove; here the note is carried out. Each
step may be repeated, and each leaves the run's counts right: first the request goes, then the result is stored (where
results are kept), then the dead letter goes, and the note last.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection

from jobrun_operator.engine.ports import Asked, RunRef, SourceSummary
from jobrun_operator.errors import BrokerUnavailable, Conflict
from jobrun_operator.jetstream import layout
from jobrun_operator.jetstream.client import JetStream, NotFound
from jobrun_operator.jetstream.direct import END, batched_get
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.listing import streams_with
from jobrun_operator.jetstream.making import Maker
from jobrun_worker import wire
from jobrun_worker.requests import obey_cancellation
from jobrun_worker.wire import Outcome

log = logging.getLogger(__name__)

_PAGE = 500
"""Notes read at a time."""


class JetStreamRetries:
    """The ``Retries`` port."""

    def __init__(self, js: JetStream, settings: LayoutSettings) -> None:
        self._js = js
        self._settings = settings
        self._names = settings.names
        self._make = Maker(js, settings)

    async def open(self, run: RunRef, source: SourceSummary) -> None:
        meta = layout.metadata(self._settings, run, source, keeps_results=False)
        stream = layout.retry_stream(self._settings, run.uid, meta)
        await self._make.stream(stream)
        await self._make.consumer(stream["name"], layout.workers_consumer(self._settings))

    async def close(self, uid: str) -> None:
        stream = self._names.retry_stream(uid)
        with contextlib.suppress(NotFound):
            await self._make.check_owner(stream)
            await self._js.api(f"STREAM.DELETE.{stream}")

    async def asked(self, uid: str) -> Asked | None:
        stream = self._names.retry_stream(uid)
        try:
            messages = (await self._js.api(f"STREAM.INFO.{stream}"))["state"]["messages"]
            info = await self._js.api(f"CONSUMER.INFO.{stream}.{wire.CONSUMER}")
        except NotFound:
            return None
        return Asked(
            messages=messages,
            waiting=info["num_pending"],
            held=info["num_ack_pending"],
            deliveries=info["delivered"]["consumer_seq"],
            paused=bool(info.get("paused")),
        )

    async def settle(self, uid: str, *, keep: bool) -> int:
        request = {"next_by_subj": self._names.retried(uid, "*"), "seq": 1, "batch": _PAGE}
        stored = [
            (headers["Nats-Subject"], headers, message.data)
            async for headers, message in batched_get(self._js, self._names.out_stream(uid), request)
            if headers.get("Status") != END
        ]
        for subject, headers, body in stored:
            try:
                note = Outcome.parse(subject, headers, body)
            except ValueError as error:
                log.warning("%s can't be read, so its dead letter stays: %s", subject, error)
                await self._purge(self._names.out_stream(uid), subject)
            else:
                await self._carry_out(uid, note, keep=keep)
        return len(stored)

    async def _carry_out(self, uid: str, note: Outcome, *, keep: bool) -> None:
        out, index = self._names.out_stream(uid), note.index
        with contextlib.suppress(NotFound):
            await self._purge(self._names.retry_stream(uid), self._names.retry(uid, index))
        if keep:
            headers = note.headers() | {wire.EXPECTED_LAST_SUBJECT_SEQUENCE: "0"}
            with contextlib.suppress(
                Conflict
            ):  # it was stored before, by an engine that did not come further
                await self._js.publish(self._names.ok(uid, index), note.body, headers)
        await self._purge(out, self._names.dead(uid, index))
        await self._purge(out, self._names.retried(uid, index))

    async def _purge(self, stream: str, subject: str) -> None:
        await self._js.api(f"STREAM.PURGE.{stream}", {"filter": subject})

    async def permit(self, uid: str, count: int, at_a_time: int) -> None:
        client, subject = self._js.client, self._names.again(uid)
        if not client.is_connected:
            raise BrokerUnavailable(client.why_silent(subject, 0.0))
        while count > 0:
            permits = min(count, at_a_time, wire.MOST_PERMITS)
            await client.publish(subject, str(permits).encode())
            obey_cancellation()
            count -= permits

    async def pause(self, uid: str, *, paused: bool) -> None:
        body = {"pause_until": layout.FOR_EVER} if paused else None
        with contextlib.suppress(NotFound):
            await self._js.api(f"CONSUMER.PAUSE.{self._names.retry_stream(uid)}.{wire.CONSUMER}", body)

    async def rebuild(self, uid: str, *, paused: bool) -> None:
        stream = self._names.retry_stream(uid)
        with contextlib.suppress(NotFound):
            await self._js.api(f"CONSUMER.DELETE.{stream}.{wire.CONSUMER}")
        await self._make.consumer(stream, layout.workers_consumer(self._settings, paused=paused))

    async def wanted(self) -> Collection[str]:
        prefix = self._names.prefix
        return {
            (info["config"].get("metadata") or {}).get("jobrun-uid", "")
            async for info in streams_with(self._js, f"{prefix}.retry.>")
            if info["state"]["messages"]
        }
