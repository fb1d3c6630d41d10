"""The broker that tests of this folder run against: a real nats-server, a fresh one for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.nats_server import NatsServer


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """Running; a test may ``kill()`` and ``restart()`` it."""
    async with NatsServer(tmp_path / "nats") as server:
        yield server
