"""Releases a run as the engine does: ``python -m benchmarks.programs.release URL UID count:N|FILE [RATE]``.

At full speed, or at a rate a second. Prints a line of JSON: the seconds from the first decision to the last
acknowledgement, what it used, and with a rate the time in nanoseconds at which each task was sent.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.broker import SETTINGS
from jobrun_operator.core.pacing import Limits, Rate
from jobrun_operator.engine.ports import RunRef, TaskSource
from jobrun_operator.engine.releaser import Releaser
from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_operator.tasks.counted import CountedSource
from jobrun_operator.tasks.files import data_file
from jobrun_operator.tasks.jsonlines import JsonLines
from jobrun_operator.tasks.streamed import OpenBytes, StreamedSource
from jobrun_worker.address import BrokerAddress
from jobrun_worker.wire import Names

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


class Noting(JetStreamPublisher):
    """Notes when it is asked to send."""

    def __init__(self, js: JetStream, names: Names) -> None:
        super().__init__(js, names)
        self.sent: list[int] = []

    async def release(self, uid: str, after: int, payloads: Sequence[bytes]) -> int:
        self.sent += [time.time_ns()] * len(payloads)
        return await super().release(uid, after, payloads)


def source_of(text: str) -> TaskSource:
    if text.startswith("count:"):
        return CountedSource(int(text.removeprefix("count:")))
    return StreamedSource(FileBytes(Path(text)), JsonLines, max_payload=MAX_PAYLOAD)


async def main(url: str, uid: str, text: str, rate: str = "") -> None:
    source = source_of(text)
    total = (await source.scan()).count
    client = await connect(BrokerAddress(url), "benchmark")
    js = JetStream(client)
    observer = JetStreamObserver(js, SETTINGS)
    depth, flow = await observer.depth(uid), await observer.flow(uid)
    assert depth is not None
    assert flow is not None
    publisher = Noting(js, SETTINGS.names) if rate else JetStreamPublisher(js, SETTINGS.names)
    releaser = Releaser(
        RunRef("default", "benchmark", uid), source, publisher, observer, depth=depth, flow=flow
    )
    idle = _resident_mib()
    before, begun = time.process_time(), time.perf_counter()
    releaser.limit(Limits(total, Rate(float(rate), 1) if rate else None, UNBOUNDED, UNBOUNDED))
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
    told = {"tasks": total, "seconds": seconds, "cpu": cpu, "idle_mib": idle, "peak_mib": peak}
    print(json.dumps(told | {"sent": publisher.sent if isinstance(publisher, Noting) else []}))


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
