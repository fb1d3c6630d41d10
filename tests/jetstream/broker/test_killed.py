"""A broker that is killed without warning, and comes back with what it has acknowledged."""

from __future__ import annotations

import asyncio

import pytest

from jobrun_operator.api import LimitedBy
from jobrun_operator.core.pacing import Limits, Rate
from jobrun_operator.engine.ports import Ends
from jobrun_operator.engine.prepare import prepare
from jobrun_operator.engine.releaser import Releaser
from jobrun_operator.errors import BrokerUnavailable
from support.broker_bench import RUN, SOURCE, UID, outcome, payloads
from support.jetstream_bench import JetStreamBench
from support.listed_source import ListedSource
from support.nats_server import NatsServer

TOTAL = 20_000


async def _released(real: JetStreamBench) -> int:
    try:
        depth = await real.observer.depth(UID)
    except BrokerUnavailable:
        return 0
    return depth.last_seq if depth else 0


async def _reaches(real: JetStreamBench, count: int) -> None:
    async with asyncio.timeout(60):
        while await _released(real) < count:  # noqa: ASYNC110  # another process's state: nothing signals it
            await asyncio.sleep(0.01)


async def test_killed_in_mid_release_it_goes_on_exactly_once(
    real: JetStreamBench, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A request that dies with the broker is waited for to its limit.
    monkeypatch.setattr("jobrun_operator.jetstream.client.JetStream.request.__defaults__", (None, 1.0))
    source = ListedSource(TOTAL)
    prepared = await prepare(RUN, source, real.streams, real.observer, begun=False, keeps_results=False)
    releaser = Releaser(RUN, source, real.publisher, real.observer, depth=prepared.depth, flow=prepared.flow)
    releaser.limit(Limits(TOTAL, Rate(8000.0, 8000.0), TOTAL, TOTAL))
    releasing = asyncio.create_task(releaser.run())
    for reached in (2000, 8000):
        await _reaches(real, reached)
        await nats_server.kill()
        await nats_server.start()
    await _reaches(real, TOTAL)
    async with asyncio.timeout(30):
        while releaser.limited_by != LimitedBy.ALL_RELEASED:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert releaser.trouble is None
    releasing.cancel()
    await asyncio.wait({releasing})
    bodies: list[bytes] = []
    while taken := await real.take(UID, 1000):
        bodies += [task.body for task in taken]
    assert bodies == [b"task %d" % index for index in range(TOTAL)]


async def test_what_was_acknowledged_is_there_again(real: JetStreamBench, nats_server: NatsServer) -> None:
    await real.streams.provision(RUN, SOURCE)
    await real.publisher.release(UID, 0, payloads(10))
    for task in await real.take(UID, 4):
        if task.index < 2:
            await real.store_outcome(UID, outcome(task.index, succeeded=task.index == 1))
            await real.ack(task)
    await real.streams.pause(UID, paused=True)
    await nats_server.kill()
    await nats_server.start()
    await _reaches(real, 10)
    assert await real.observer.ends(UID) == Ends(failed=1, succeeded=1)
    flow = await real.observer.flow(UID)
    assert flow is not None
    assert flow.paused
    # Each of the two that were in hand is held still, or waits again where the broker had not noted it yet.
    assert (flow.waiting, flow.held) in [(6, 2), (7, 1), (8, 0)]
    assert await real.take(UID, 10) == []
    await real.streams.pause(UID, paused=False)
    assert [error.index for error in await real.observer.last_errors(UID)] == [0]
    assert await real.publisher.release(UID, 10, payloads(1)) == 11


async def test_while_it_is_away_every_call_says_so(
    real: JetStreamBench, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrun_operator.jetstream.client.JetStream.request.__defaults__", (None, 0.2))
    await real.streams.provision(RUN, SOURCE)
    await nats_server.kill()
    for call in (
        real.observer.depth(UID),
        real.observer.flow(UID),
        real.observer.ends(UID),
        real.observer.last_errors(UID),
        real.streams.pause(UID, paused=True),
        real.streams.provision(RUN, SOURCE),
        real.publisher.release(UID, 0, payloads(1)),
        real.publisher.release(UID, 0, payloads(3)),
    ):
        with pytest.raises(BrokerUnavailable):
            await call
