"""Both brokers, for one suite: what passes in memory is worth something only where the real one passes too."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_worker.address import BrokerAddress
from support.broker_bench import Bench, MemoryBench
from support.jetstream_bench import JetStreamBench
from support.memory_broker import MemoryBroker
from support.nats_server import NatsServer


@pytest.fixture
async def js(nats_server: NatsServer) -> AsyncIterator[JetStream]:
    client = await connect(BrokerAddress(nats_server.url), "test")
    yield JetStream(client)
    await close(client)


@pytest.fixture
def real(js: JetStream) -> JetStreamBench:
    return JetStreamBench(js)


@pytest.fixture(params=["memory", "jetstream"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "memory":
        return MemoryBench(MemoryBroker())
    real: JetStreamBench = request.getfixturevalue("real")
    return real
