from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jetstream.worker.rig import Broker, Run, connect


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    broker = Broker(tmp_path / "nats")
    await broker.start()
    yield broker
    await broker.stop()


@pytest.fixture
async def run(broker: Broker, tmp_path: Path) -> AsyncIterator[Run]:
    nc = await connect(broker.url)
    directory = tmp_path / "work"
    directory.mkdir()
    run = Run(nc, broker, directory)
    await run.provision()
    yield run
    await run.close()
    await nc.close()
