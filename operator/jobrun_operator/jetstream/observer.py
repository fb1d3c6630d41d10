"""Reads the streams: every count of a run's status comes from here, and none is kept by incrementing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from jobrun_operator.engine.ports import Depth, Ends, FailedAttempt, Flow
from jobrun_operator.errors import BrokerBusy, Gone
from jobrun_operator.jetstream import layout
from jobrun_operator.jetstream.client import CONSUMER_NOT_FOUND, JetStream, NotFound
from jobrun_operator.jetstream.direct import END, batched_get
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_worker import wire

log = logging.getLogger(__name__)

_PROBE = "probe"
"""Key in the control bucket that is written to see whether the broker has room: one small message for all runs."""
_ROOM, _OUTCOMES = 64 * 1024, 2
"""Where there is room for less than so many bytes, or so many outcomes of the average size, it is taken for full."""


class JetStreamObserver:
    """The ``Observer`` port."""

    def __init__(self, js: JetStream, settings: LayoutSettings) -> None:
        self._js = js
        self._settings = settings
        self._names = settings.names

    async def depth(self, uid: str) -> Depth | None:
        try:
            return _depth(await self._js.api(f"STREAM.INFO.{self._names.work_stream(uid)}"))
        except NotFound:
            return None

    async def flow(self, uid: str) -> Flow | None:
        try:
            info = await self._js.api(f"CONSUMER.INFO.{self._names.work_stream(uid)}.{wire.CONSUMER}")
        except NotFound:
            return None
        return Flow(
            waiting=info["num_pending"],
            held=info["num_ack_pending"],
            deliveries=info["delivered"]["consumer_seq"],
            first_deliveries=info["delivered"]["stream_seq"],
            paused=bool(info.get("paused")),
            pulls=info["num_waiting"],
        )

    async def ends(self, uid: str, *, results: bool = True, exact: bool = False) -> Ends | None:
        out = self._names.out_stream(uid)
        try:
            failed = await self._js.api(f"CONSUMER.INFO.{out}.{layout.FAILED}")
            succeeded = await self._js.api(f"CONSUMER.INFO.{out}.{layout.SUCCEEDED}") if results else None
        except NotFound as error:
            if error.code == CONSUMER_NOT_FOUND:
                return None
            raise Gone(f"the outcomes of run {uid} are gone from the broker") from error
        if exact:
            dead, kept = self._names.dead(uid, "*"), self._names.ok(uid, "*")
            return Ends(await self._stored(out, dead), await self._stored(out, kept) if results else 0)
        return Ends(failed["num_pending"], succeeded["num_pending"] if succeeded else 0)

    async def first_errors(self, uid: str) -> Sequence[FailedAttempt]:
        return await self._errors(uid, lambda subject: {"seq": 1, "next_by_subj": subject})

    async def last_errors(self, uid: str) -> Sequence[FailedAttempt]:
        return await self._errors(uid, lambda subject: {"last_by_subj": subject})

    async def refusal(self, uid: str) -> str:
        """Bounds of stream and account are read; whether the server itself has room only shows in a write."""
        out = self._names.out_stream(uid)
        info, account = await asyncio.gather(self._js.api(f"STREAM.INFO.{out}"), self._js.api("INFO"))
        used, most = info["state"]["bytes"], info["config"]["max_bytes"]
        room = max(_ROOM, _OUTCOMES * used // max(1, info["state"]["messages"]))
        if 0 < most < used + min(room, most // 2):
            return (
                f"the outcomes of this run take {used:,} of the {most:,} bytes that stream {out} may have; "
                "raise its max_bytes"
            )
        used, most = account["storage"], account["limits"]["max_storage"]
        if 0 < most < used + room:
            return f"the broker's account is full: {used:,} of {most:,} bytes; raise its limit or delete finished runs"
        try:
            await self._js.publish(f"$KV.{self._names.prefix}_control.{_PROBE}", b"")
        except BrokerBusy as error:
            return f"{error}; make room on the broker, or delete finished runs"
        return ""

    async def _errors(self, uid: str, request: Callable[[str], dict[str, Any]]) -> Sequence[FailedAttempt]:
        attempt, dead = await asyncio.gather(
            self._one(uid, request(self._names.attempt(uid, "*"))),
            self._one(uid, request(self._names.dead(uid, "*"))),
        )
        found = [_of_attempt(*attempt) if attempt else None, _of_dead_letter(*dead) if dead else None]
        return [error for error in found if error is not None]

    async def _stored(self, stream: str, subject: str) -> int:
        """How many messages on ``subject`` are stored at this moment.

        A batched direct get says how many more there are than it brings (ADR-31): the server counts them in the
        store, where a consumer's ``num_pending`` follows some milliseconds behind.
        """
        request = {"seq": 1, "next_by_subj": subject, "batch": 1}
        count = 0
        async for headers, _ in batched_get(self._js, stream, request):
            if headers.get("Status") == END:
                return count + int(headers["Nats-Num-Pending"])
            count += 1
        return 0

    async def _one(self, uid: str, request: dict[str, Any]) -> tuple[int, str, dict[str, str], bytes] | None:
        """The message that a direct get finds (source: ADR-31)."""
        subject = f"$JS.API.DIRECT.GET.{self._names.out_stream(uid)}"
        reply = await self._js.request(subject, json.dumps(request).encode())
        headers = reply.headers or {}
        if headers.get("Status") == "404" or "Nats-Sequence" not in headers:
            return None
        return int(headers["Nats-Sequence"]), headers["Nats-Subject"], headers, reply.data


def _of_attempt(seq: int, subject: str, _headers: dict[str, str], body: bytes) -> FailedAttempt | None:
    try:
        record = wire.AttemptRecord.decode(body)
        index = int(subject.rsplit(".", 1)[1].partition("-")[0])
    except ValueError as error:
        log.warning("%s can't be read: %s", subject, error)
        return None
    return FailedAttempt(seq, index, record.failures, record.error) if record.failures else None


def _of_dead_letter(seq: int, subject: str, headers: dict[str, str], body: bytes) -> FailedAttempt | None:
    try:
        outcome = wire.Outcome.parse(subject, headers, body)
    except ValueError as error:
        log.warning("%s can't be read: %s", subject, error)
        return None
    return FailedAttempt(seq, outcome.index, outcome.attempts, outcome.error)


def _depth(info: dict[str, Any]) -> Depth:
    state, meta = info["state"], info["config"].get("metadata") or {}
    return Depth(
        last_seq=state["last_seq"],
        messages=state["messages"],
        source=layout.source_of(meta),
        keeps_results=layout.keeps_results(meta),
    )
