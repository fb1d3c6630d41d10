"""The broker's machine loses its power in mid-write, and is switched on again.

``JOBRUN_LONG_TESTS=1`` also sees whole runs through it, as ``make accept`` does.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from faults import power_cut
from faults.powerloss import disk_after
from faults.strace import Call, Tracer, calls, can_trace
from support.nats_server import NatsServer

pytestmark = pytest.mark.skipif(
    not can_trace(),
    reason="strace is not installed (apt-get install strace) or may not attach: no power is cut",
)

BATCH, BATCHES, TAKEN, CUTS = 20, 15, 8, 8
SYNCED = "sync_interval: always"


@dataclass
class Told:
    """What the broker has acknowledged, and when."""

    released: list[tuple[float, int]] = field(default_factory=list)
    """Last sequence of each batch."""
    ended: list[tuple[float, int]] = field(default_factory=list)
    """Tasks whose outcome is stored."""
    acked: list[tuple[float, int]] = field(default_factory=list)
    """Tasks whose ack was sent."""


async def api(client: Client, subject: str, body: object = None) -> dict[str, object]:
    answer = await client.request(
        f"$JS.API.{subject}", json.dumps(body).encode() if body else b"", timeout=30
    )
    value: dict[str, object] = json.loads(answer.data)
    assert "error" not in value, value
    return value


async def work(url: str) -> Told:
    """Batches are released, some tasks of each end: their outcome is stored, then they are acked."""
    told = Told()
    client = await nats.connect(url)
    work = {"name": "w", "subjects": ["w"], "retention": "workqueue", "storage": "file"}
    await api(client, "STREAM.CREATE.w", work | {"allow_atomic": True, "allow_direct": True})
    out = {"name": "o", "subjects": ["o.*"], "storage": "file", "allow_direct": True}
    await api(client, "STREAM.CREATE.o", out | {"max_msgs_per_subject": 1})
    consumer = {"durable_name": "c", "name": "c", "ack_policy": "explicit", "max_ack_pending": -1}
    await api(client, "CONSUMER.CREATE.w.c", {"stream_name": "w", "config": consumer})
    pull = await client.jetstream().pull_subscribe_bind("c", stream="w")
    for number in range(BATCHES):
        last = (number + 1) * BATCH
        for place in range(1, BATCH + 1):
            headers = {"Nats-Batch-Id": f"b{number}", "Nats-Batch-Sequence": str(place)}
            body = b"%d" % (last - BATCH + place)
            if place < BATCH:
                await client.publish("w", body, headers=headers)
            else:
                await client.request("w", body, headers=headers | {"Nats-Batch-Commit": "1"}, timeout=30)
        told.released.append((time.time(), last))
        for message in await pull.fetch(TAKEN, timeout=30):
            await client.request(f"o.{message.data.decode()}", b"result", timeout=30)
            told.ended.append((time.time(), int(message.data)))
            told.acked.append((time.time(), int(message.data)))
            await message.ack()
    await client.close()
    return told


async def messages(client: Client, stream: str) -> dict[str, int]:
    """Bodies of the stream of work, or subjects of the other, by sequence: what is really there."""
    state = (await api(client, f"STREAM.INFO.{stream}"))["state"]
    assert isinstance(state, dict)
    found = {}
    for sequence in range(1, state["last_seq"] + 1):
        answer = await client.request(
            f"$JS.API.DIRECT.GET.{stream}", json.dumps({"seq": sequence}).encode(), timeout=30
        )
        headers = answer.headers or {}
        if headers.get("Status") != "404":
            key = answer.data.decode() if stream == "w" else headers["Nats-Subject"]
            found[key] = sequence
    return found


async def test_what_was_acknowledged_is_there_wherever_the_power_goes(tmp_path: Path) -> None:
    broker, tracer = NatsServer(tmp_path / "broker", jetstream=SYNCED), Tracer(tmp_path / "trace")
    async with broker:
        await asyncio.to_thread(tracer.attach, broker.pid)
        told = await work(broker.url)
        await broker.kill()
        await asyncio.to_thread(tracer.stop)
    recorded = list(calls(tracer.trace.read_text().splitlines()))
    first = next(number for number, call in enumerate(recorded) if call.time > told.released[0][0])
    for cut in range(first + 1, len(recorded), max(1, (len(recorded) - first) // CUTS)):
        await judge(recorded[:cut], broker.store, tmp_path / f"after-{cut}", told)


async def judge(recorded: list[Call], store: Path, place: Path, told: Told) -> None:
    disk_after(recorded, store).write_to(place / "store")
    at = recorded[-1].time
    async with NatsServer(place, jetstream=SYNCED) as broker:
        client = await nats.connect(broker.url)
        tasks, outcomes = await messages(client, "w"), await messages(client, "o")
        await client.close()
    released = max(last for when, last in told.released if when <= at)
    ended = {task for when, task in told.ended if when <= at}
    maybe_gone = {task for when, task in told.acked if when <= at}
    assert {int(body) for body in tasks} >= set(range(1, released + 1)) - maybe_gone
    assert all(int(body) == sequence for body, sequence in tasks.items())
    assert {int(subject.removeprefix("o.")) for subject in outcomes} >= ended


@pytest.mark.skipif(not os.environ.get("JOBRUN_LONG_TESTS"), reason="JOBRUN_LONG_TESTS is not set")
@pytest.mark.parametrize("sync_always", [True, False])
async def test_a_run_goes_on_after_a_power_cut(tmp_path: Path, sync_always: bool) -> None:
    outcome = await power_cut.run(tmp_path, tasks=300, rate=200, sync_always=sync_always)
    assert outcome.violations == []
    assert (outcome.released_again > 0) != sync_always


@pytest.mark.skipif(not os.environ.get("JOBRUN_LONG_TESTS"), reason="JOBRUN_LONG_TESTS is not set")
async def test_results_that_the_power_cut_took_are_missed(tmp_path: Path) -> None:
    """Nothing is synced, and of all files the kernel has written those of the outcomes last: their tasks are gone from
    the stream of work, so nobody will do them again. The run must say so."""
    outcome = await power_cut.run(tmp_path, tasks=300, rate=200, sync_always=False, outcomes_last=True)
    assert outcome.reason == "TasksLost"


@pytest.mark.skipif(not os.environ.get("JOBRUN_LONG_TESTS"), reason="JOBRUN_LONG_TESTS is not set")
async def test_a_run_of_which_nothing_is_left_says_so(tmp_path: Path) -> None:
    """The audit stream is gone as well, and with it the place where a transition is noted first."""
    outcome = await power_cut.run(tmp_path, tasks=300, rate=200, sync_always=False, all_lost=True)
    assert outcome.reason == "StreamLost"
