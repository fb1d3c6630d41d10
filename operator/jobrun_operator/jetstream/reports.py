"""What the engine tells the broker: audit records and the live status of runs."""

from __future__ import annotations

import json

from jobrun_operator.api import JobRunStatus
from jobrun_operator.engine.ports import AuditRecord, RunRef
from jobrun_operator.jetstream import layout
from jobrun_operator.jetstream.client import JetStream, NothingThere
from jobrun_worker.wire import Names


class JetStreamAudit:
    """The ``Audit`` port: a stream with a record for each transition, deduplicated by ``Nats-Msg-Id``."""

    def __init__(self, js: JetStream, names: Names) -> None:
        self._js = js
        self._names = names

    async def record(self, record: AuditRecord) -> None:
        run = record.run
        subject = f"{self._names.prefix}.event.{run.namespace}.{run.name}.{record.type}"
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
        await self._js.publish(subject, json.dumps(body).encode(), {"Nats-Msg-Id": record.id})


class JetStreamLiveStatus:
    """The ``LiveStatus`` port: the key-value bucket ``<prefix>_status`` (source: ADR-8)."""

    def __init__(self, js: JetStream, names: Names, *, replicas: int = 1) -> None:
        self._js = js
        self._subject = f"$KV.{names.prefix}_status"
        self._bucket = layout.status_bucket(names, replicas)

    async def put(self, run: RunRef, status: JobRunStatus) -> None:
        subject, body = f"{self._subject}.{run.namespace}.{run.name}", json.dumps(status.to_wire()).encode()
        try:
            await self._js.publish(subject, body)
        except NothingThere:
            # The bucket is in memory: a broker that was started again has none.
            await self._js.api(f"STREAM.CREATE.{self._bucket['name']}", self._bucket)
            await self._js.publish(subject, body)

    async def forget(self, run: RunRef) -> None:
        await self._js.publish(f"{self._subject}.{run.namespace}.{run.name}", b"", {"KV-Operation": "DEL"})
