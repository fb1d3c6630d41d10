"""What the engine tells the broker: each audit record once, and of the live status the newest."""

from __future__ import annotations

import dataclasses
import json

from jobrun_operator.api import JobRunStatus, Phase, TaskCounts
from jobrun_operator.engine.ports import AuditRecord
from jobrun_operator.jetstream.reports import JetStreamAudit, JetStreamLiveStatus
from support.broker_bench import RUN
from support.jetstream_bench import JetStreamBench

RECORD = AuditRecord(
    "0001.Running.Started.first", RUN, "Started", "begun", "2026-01-01T00:00:00+00:00", "Running"
)

PLACES = ("jobrun_events", "KV_jobrun_status")


async def _last(real: JetStreamBench, stream: str, subject: str) -> bytes:
    reply = await real.js.request(
        f"$JS.API.DIRECT.GET.{stream}", json.dumps({"last_by_subj": subject}).encode()
    )
    return bytes(reply.data)


async def test_a_record_that_is_told_twice_is_kept_once(real: JetStreamBench) -> None:
    await real.streams.provision_installation()
    audit = JetStreamAudit(real.js, real.settings)
    await audit.record(RECORD)
    await audit.record(dataclasses.replace(RECORD, time="2026-01-01T00:00:09+00:00"))
    await audit.record(dataclasses.replace(RECORD, id="0001.Completed", type="Completed"))
    info = await real.js.api("STREAM.INFO.jobrun_events")
    assert info["state"]["messages"] == 2
    reply = await real.js.api(
        "STREAM.MSG.GET.jobrun_events", {"last_by_subj": "jobrun.event.shop.backfill.Started"}
    )
    assert reply["message"]["seq"] == 1


async def test_the_newest_live_status_is_kept_until_it_is_forgotten(real: JetStreamBench) -> None:
    await real.streams.provision_installation()
    live = JetStreamLiveStatus(real.js, real.settings)
    for released in (1, 2):
        await live.put(RUN, JobRunStatus(phase=Phase.RUNNING, tasks=TaskCounts(released=released)))
    stored = json.loads(await _last(real, "KV_jobrun_status", "$KV.jobrun_status.shop.backfill"))
    assert stored["tasks"]["released"] == 2
    assert (await real.js.api("STREAM.INFO.KV_jobrun_status"))["state"]["messages"] == 1
    await live.forget(RUN)
    assert await _last(real, "KV_jobrun_status", "$KV.jobrun_status.shop.backfill") == b""


async def test_a_place_that_is_gone_is_made_again(real: JetStreamBench) -> None:
    """A broker that lost its disk under a living operator: each run still gets to say that its stream is lost."""
    await real.streams.provision_installation()
    made = {name: (await real.js.api(f"STREAM.INFO.{name}"))["config"] for name in PLACES}
    for name in PLACES:
        await real.js.api(f"STREAM.DELETE.{name}")
    await JetStreamLiveStatus(real.js, real.settings).forget(RUN)  # with the bucket, the status is gone
    await JetStreamAudit(real.js, real.settings).record(RECORD)
    await JetStreamLiveStatus(real.js, real.settings).put(RUN, JobRunStatus(phase=Phase.RUNNING))
    for name in PLACES:
        info = await real.js.api(f"STREAM.INFO.{name}")
        assert info["state"]["messages"] == 1
        assert info["config"] == made[name]


async def test_an_installation_is_made_once(real: JetStreamBench) -> None:
    await real.streams.provision_installation()
    await JetStreamAudit(real.js, real.settings).record(RECORD)
    await real.streams.provision_installation()
    await real.sharing("there").streams.provision_installation()
    assert (await real.js.api("STREAM.INFO.jobrun_events"))["state"]["messages"] == 1
