"""Audit records and live statuses on a real nats-server, held to the suites of their ports."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

import pytest

from jobrun_operator.api import JobRunStatus
from jobrun_operator.engine.ports import AuditRecord, RunRef
from jobrun_operator.jetstream.reports import JetStreamAudit, JetStreamLiveStatus
from support.jetstream_bench import JetStreamBench
from support.reports_conformance import AuditBench, AuditConformance, LiveBench, LiveStatusConformance


class TestJetStreamAudit(AuditConformance):
    @pytest.fixture
    async def audits(self, real: JetStreamBench) -> AuditBench:
        await real.streams.provision_installation()

        async def kept() -> Sequence[AuditRecord]:
            last = (await real.js.api("STREAM.INFO.jobrun_events"))["state"]["last_seq"]
            return [await read(seq) for seq in range(1, last + 1)]

        async def read(seq: int) -> AuditRecord:
            message = (await real.js.api("STREAM.MSG.GET.jobrun_events", {"seq": seq}))["message"]
            body = json.loads(base64.b64decode(message["data"]))
            run = RunRef(body.pop("namespace"), body.pop("name"), body.pop("uid"))
            assert message["subject"] == f"jobrun.event.{run.namespace}.{run.name}.{body['type']}"
            return AuditRecord(run=run, **body)

        return AuditBench(JetStreamAudit(real.js, real.settings), kept)


class TestJetStreamLiveStatus(LiveStatusConformance):
    @pytest.fixture
    async def lives(self, real: JetStreamBench) -> LiveBench:
        await real.streams.provision_installation()

        async def shown(run: RunRef) -> JobRunStatus | None:
            """As a client of the key-value bucket reads it."""
            last_by_subj = f"$KV.jobrun_status.{run.namespace}.{run.name}"
            reply = await real.js.request(
                "$JS.API.DIRECT.GET.KV_jobrun_status", json.dumps({"last_by_subj": last_by_subj}).encode()
            )
            headers = reply.headers or {}
            if headers.get("Status") == "404" or headers.get("KV-Operation") == "DEL":
                return None
            return JobRunStatus.model_validate(json.loads(reply.data))

        return LiveBench(JetStreamLiveStatus(real.js, real.settings), shown)
