"""Releases a run as the engine does, at full speed: ``python -m benchmarks.programs.release URL UID count:N|FILE``.

Prints a line of JSON: the seconds from the first decision to the last acknowledgement, and what it used.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.broker import SETTINGS
from jobrun_operator.core.pacing import Limits
from jobrun_operator.engine.ports import TaskSource
from jobrun_operator.engine.releaser import Releaser
from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_operator.tasks.counted import CountedSource
from jobrun_operator.tasks.files import data_file
from jobrun_operator.tasks.jsonlines import JsonLines
from jobrun_operator.tasks.streamed import OpenBytes, StreamedSource
from jobrun_worker.address import BrokerAddress

MAX_PAYLOAD = 983_040
UNBOUNDED = 10**9


class FileBytes:
    """A file as a ``ByteStream``; without a version, so that its passes are proved to be the same."""

    name = "records"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def version(self) -> str:
        return ""

    @asynccontextmanager
    async def open(self, expected: str = "") -> AsyncIterator[OpenBytes]:
        yield OpenBytes("", data_file(self._path).chunks())


def source_of(text: str) -> TaskSource:
    if text.startswith("count:"):
        return CountedSource(int(text.removeprefix("count:")))
    return StreamedSource(FileBytes(Path(text)), JsonLines, max_payload=MAX_PAYLOAD)


async def main(url: str, uid: str, text: str) -> None:
    source = source_of(text)
    total = (await source.scan()).count
    client = await connect(BrokerAddress(url), "benchmark")
    js = JetStream(client)
    observer = JetStreamObserver(js, SETTINGS)
    depth, flow = await observer.depth(uid), await observer.flow(uid)
    assert depth is not None
    assert flow is not None
    releaser = Releaser(uid, source, JetStreamPublisher(js, SETTINGS.names), observer, depth=depth, flow=flow)
    before, begun = time.process_time(), time.perf_counter()
    releaser.limit(Limits(total, None, UNBOUNDED, UNBOUNDED))
    releasing = asyncio.create_task(releaser.run())
    while releaser.released < total:
        done, _ = await asyncio.wait({releasing}, timeout=0.002)
        if done or releaser.trouble or releaser.fault:
            raise SystemExit(f"releasing ended: {releaser.fault or releaser.trouble}")
    seconds, cpu = time.perf_counter() - begun, time.process_time() - before
    releasing.cancel()
    await asyncio.wait({releasing})
    await close(client)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"tasks": total, "seconds": seconds, "cpu": cpu, "peak_mib": peak}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
