"""``jobrun[worker]`` alone imports and runs: nothing of Kubernetes, of the operator's models, of the terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.jetstream.client import JetStream, connect
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_worker.address import BrokerAddress
from jobrun_worker.settings import WorkerSettings
from support.nats_server import NatsServer
from support.only_extra import refused, required

TESTS = Path(__file__).parents[2]


def test_the_refusal_refuses() -> None:
    hidden = refused(required("jobrun", "worker"))
    assert {"kopf", "kubernetes", "pydantic", "yaml", "rich"} <= hidden
    assert not {"nats", "aiohttp", "prometheus_client", "click", "jobrun_worker"} & hidden


@pytest.mark.parametrize("module", ["jobrun_worker", "jobrun_operator.cli"])
async def test_a_worker_does_tasks(module: str, nats_server: NatsServer, tmp_path: Path) -> None:
    client = await connect(BrokerAddress(nats_server.url), "test")
    js, run = JetStream(client), RunRef("default", "small", "u-1")
    layout = LayoutSettings(installation="here")
    await JetStreamWorkStreams(js, layout).provision(run, SourceSummary(3, "sha256:0"))
    await JetStreamPublisher(js, layout.names).release(run.uid, 0, [b"1", b"2", b"3"])
    (tmp_path / "double.py").write_text("def call(payload):\n    return payload * 2\n")
    settings = WorkerSettings(
        nats_url=nats_server.url,
        uid=run.uid,
        run=run.name,
        namespace=run.namespace,
        handler_python="double:call",
        retain_results=True,
    )
    arguments = ["worker"] if module.endswith("cli") else []
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.only_extra", "worker", module, *arguments),
        cwd=tmp_path,
        env=os.environ | settings.to_env() | {"PYTHONPATH": str(TESTS)},
    )
    try:
        observer = JetStreamObserver(js, layout)
        async with asyncio.timeout(60):
            while (ends := await observer.ends(run.uid)) is None or ends.succeeded < 3:
                assert worker.returncode is None
            worker.terminate()
            assert await worker.wait() == 0
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
        await client.close()
