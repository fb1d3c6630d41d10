"""What the engine tells the broker: audit records and the live status of runs.

Their places are made with the installation. Where one is gone since (a bucket in memory after a restart, everything
after the broker has lost its disk), it is made again: without it no run could go on to its next phase.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from jobrun_operator.api import JobRunStatus
from jobrun_operator.engine.ports import AuditRecord, RunRef
from jobrun_operator.jetstream import layout
from jobrun_operator.jetstream.client import JetStream, NothingThere
from jobrun_operator.jetstream.layout import LayoutSettings


class JetStreamAudit:
    """The ``Audit`` port: a stream with a record for each transition, deduplicated by ``Nats-Msg-Id``."""

    def __init__(self, js: JetStream, settings: LayoutSettings) -> None:
        self._js = js
        self._prefix = settings.names.prefix
        self._stream = layout.events_stream(settings)

    async def record(self, record: AuditRecord) -> None:
        run = record.run
        subject = f"{self._prefix}.event.{run.namespace}.{run.name}.{record.type}"
        body = {
            "id": record.id,
            "namespace": run.namespace,
            "name": run.name,
            "uid": run.uid,
            "type": record.type,
            "message": record.message,
            "phase": record.phase,
            "time": record.time,
        }
        headers = {"Nats-Msg-Id": record.id}
        await _publish(self._js, subject, json.dumps(body).encode(), headers, place=self._stream)


class JetStreamLiveStatus:
    """The ``LiveStatus`` port: the key-value bucket ``<prefix>_status`` (source: ADR-8)."""

    def __init__(self, js: JetStream, settings: LayoutSettings) -> None:
        self._js = js
        self._subject = f"$KV.{settings.names.prefix}_status"
        self._bucket = layout.status_bucket(settings.names, settings.replicas)

    async def put(self, run: RunRef, status: JobRunStatus) -> None:
        subject = f"{self._subject}.{run.namespace}.{run.name}"
        await _publish(self._js, subject, status.to_json(), place=self._bucket)

    async def forget(self, run: RunRef) -> None:
        with contextlib.suppress(NothingThere):  # with the bucket, what was in it is gone
            await self._js.publish(
                f"{self._subject}.{run.namespace}.{run.name}", b"", {"KV-Operation": "DEL"}
            )


async def _publish(
    js: JetStream, subject: str, body: bytes, headers: dict[str, str] | None = None, *, place: dict[str, Any]
) -> None:
    """``place``: the configuration of the stream that is to take it."""
    try:
        await js.publish(subject, body, headers)
    except NothingThere:
        await js.api(f"STREAM.CREATE.{place['name']}", place)
        await js.publish(subject, body, headers)
