from __future__ import annotations

from collections.abc import AsyncIterator

import nats
import pytest

from jobrun_operator.jetstream.client import JetStream
from support.kept_runs import KeptRuns
from support.nats_server import NatsServer


@pytest.fixture
async def kept(nats_server: NatsServer) -> AsyncIterator[KeptRuns]:
    """A broker on which runs can leave what they keep."""
    client = await nats.connect(nats_server.url)
    yield KeptRuns(nats_server, JetStream(client))
    await client.close()
