"""Looks into the broker that a local run has started, with a client of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
from nats.js import JetStreamContext

from jobrun_operator.local.broker import read_address
from jobrun_worker.wire import CONSUMER


@asynccontextmanager
async def jetstream(data: Path) -> AsyncIterator[JetStreamContext]:
    """Of the broker that runs in the data directory."""
    address = read_address(data)
    client = await nats.connect(address.url, user=address.user, password=address.password, connect_timeout=10)
    try:
        yield client.jetstream(timeout=10)
    finally:
        await client.close()


async def most_waiting(data: Path, stream: str, seconds: float) -> tuple[int, int]:
    """Watches a run's consumer for that long: the most tasks that waited for a worker, and those at the end."""
    async with jetstream(data) as js:
        loop = asyncio.get_running_loop()
        deadline, most = loop.time() + seconds, 0
        while True:
            waiting = (await js.consumer_info(stream, CONSUMER)).num_pending or 0
            most = max(most, waiting)
            if loop.time() >= deadline:
                return most, waiting
            await asyncio.sleep(0.1)


async def live_status(data: Path, name: str, namespace: str = "default") -> dict[str, Any]:
    """The run's value in the bucket ``jobrun_status``."""
    async with jetstream(data) as js:
        entry = await (await js.key_value("jobrun_status")).get(f"{namespace}.{name}")
        found: dict[str, Any] = json.loads(entry.value or b"{}")
        return found


async def audit_records(data: Path, name: str, namespace: str = "default") -> list[dict[str, Any]]:
    """The run's records in the stream ``jobrun_events``, in their order."""
    async with jetstream(data) as js:
        info = await js.stream_info("jobrun_events")
        messages = [
            await js.get_msg("jobrun_events", sequence)
            for sequence in range(info.state.first_seq or 1, (info.state.last_seq or 0) + 1)
        ]
    prefix = f"jobrun.event.{namespace}.{name}."
    return [json.loads(one.data or b"{}") for one in messages if (one.subject or "").startswith(prefix)]
