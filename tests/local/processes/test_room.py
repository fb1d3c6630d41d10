"""A disk that is full for a while, below the embedded broker: it goes on by itself once there is room."""

from __future__ import annotations

import asyncio
from pathlib import Path

import nats
import pytest
from nats.errors import TimeoutError as NoAnswer
from nats.js import JetStreamContext

from faults.disk import SmallDisk
from jobrun_operator.engine.ending import end
from jobrun_operator.local.broker import EmbeddedBroker
from local.processes.helpers import until


async def stored(js: JetStreamContext) -> bool:
    """Whether a message was acknowledged."""
    try:
        await js.publish("kept", b"x" * 100_000, timeout=1)
    except (NoAnswer, nats.errors.Error):
        return False
    return True


async def test_after_a_full_disk_the_broker_is_started_again_once_there_is_room(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "data")
    heard: list[str] = []
    broker = EmbeddedBroker(disk.place, on_restart=heard.append)
    try:
        if not disk.is_small:
            pytest.skip("no small file system can be mounted here (that takes root): no disk is full")
        await broker.start()
        supervising = asyncio.create_task(broker.supervise())
        address, first = broker.address, broker.pid
        client = await nats.connect(
            address.url,
            user=address.user,
            password=address.password,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,
        )
        js = client.jetstream()
        await js.add_stream(name="kept", subjects=["kept"])
        assert await stored(js)
        disk.fill()
        assert not await stored(js)

        async def told() -> bool:
            return bool(heard)

        await until(told)
        assert "is full" in heard[0]
        assert broker.pid == first
        disk.free()
        await until(lambda: stored(js))
        assert broker.pid != first
        assert heard[1:] == ["there is room on the disk again; starting it again"]
        await client.close()
        await broker.stop()
        await end(supervising)
    finally:
        await broker.stop()
        disk.close()
