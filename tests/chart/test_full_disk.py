"""A volume of the chart's broker that was full for a while: the probes bring the broker back by themselves.

nats-server 2.15 closes a stream that it could not write: from then on whatever is sent to it goes unanswered, also
when there is room again, until the server is started anew. Of its health checks only the whole one tells.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from faults.disk import SmallDisk
from jobrun_worker.address import OPERATOR_INBOX
from support.chart import Rendered
from support.chart_broker import ChartBroker, running

STREAM = {"name": "jobrun_1", "subjects": ["jobrun.work.1"], "retention": "workqueue", "storage": "file"}
TASK = b"x" * 100_000


@asynccontextmanager
async def connected(broker: ChartBroker) -> AsyncIterator[Client]:
    client = await nats.connect(
        broker.url,
        user="operator",
        password=broker.passwords["operator"],
        inbox_prefix=OPERATOR_INBOX,
    )
    try:
        yield client
    finally:
        await client.close()


async def released(client: Client) -> bool:
    """Whether a task was stored."""
    try:
        answer = json.loads((await client.request("jobrun.work.1", TASK, timeout=1.0)).data)
    except nats.errors.TimeoutError:
        return False
    return "error" not in answer


async def answer(broker: ChartBroker, rendered: Rendered, probe: str) -> int:
    """The status that a probe of the rendered chart gets."""
    (container,) = rendered.one("StatefulSet", "jobrun-nats")["spec"]["template"]["spec"]["containers"]
    url = f"http://127.0.0.1:{broker.monitor}{container[probe]['httpGet']['path']}"

    def status() -> int:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    return await asyncio.to_thread(status)


async def test_the_broker_is_started_again_after_its_volume_was_full(render: Any, tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "volume")
    try:
        if not disk.is_small:
            pytest.skip("no small file system can be mounted here (that takes root): no volume is full")
        rendered = render()
        async with running(rendered, disk.place) as broker, connected(broker) as client:
            body = json.dumps(STREAM).encode()
            made = json.loads((await client.request("$JS.API.STREAM.CREATE.jobrun_1", body)).data)
            assert "error" not in made, made
            assert await released(client)
            assert await answer(broker, rendered, "livenessProbe") == 200
            disk.fill()
            assert not await released(client)
            assert await answer(broker, rendered, "livenessProbe") == 503
            disk.free()
            assert not await released(client), (
                "a restart is not needed any more: the probe could ask for less"
            )
            assert await answer(broker, rendered, "readinessProbe") == 200
        async with running(rendered, disk.place) as broker, connected(broker) as client:
            assert await released(client)
            assert await answer(broker, rendered, "livenessProbe") == 200
    finally:
        disk.close()
