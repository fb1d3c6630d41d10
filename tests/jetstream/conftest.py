"""What tests of this folder run against, a fresh one for each test: a real nats-server, and a run with real workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jetstream.worker.rig import Run, connect
from support.nats_server import NatsServer


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """Running; a test may ``kill()`` and ``restart()`` it."""
    async with NatsServer(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def run(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Run]:
    nc = await connect(nats_server.url)
    directory = tmp_path / "work"
    directory.mkdir()
    run = Run(nc, nats_server, directory)
    await run.provision()
    yield run
    await run.close()
    await nc.close()
