"""A run's streams on the benchmark's nats-server, as the operator makes them, for every contender that uses NATS."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from benchmarks.program import LIMIT, Failed
from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_worker.address import BrokerAddress

SETTINGS = LayoutSettings(installation="benchmark", work_max_bytes=-1, events_max_bytes=-1)
LOOK = 0.01
"""Seconds between looks at what is left."""


class Streams:
    """Of one run."""

    def __init__(self, js: JetStream, url: str, uid: str) -> None:
        self._js = js
        self.url = url
        self.uid = uid
        self.stream = SETTINGS.names.work_stream(uid)
        self.subject = SETTINGS.names.work_subject(uid)
        self._observer = JetStreamObserver(js, SETTINGS)

    async def fill(self, tasks: int) -> None:
        publisher = JetStreamPublisher(self._js, SETTINGS.names)
        for after in range(0, tasks, 1000):
            upto = min(tasks, after + 1000)
            await publisher.release(self.uid, after, [b'{"index": %d}' % i for i in range(after, upto)])

    async def left(self) -> int:
        depth = await self._observer.depth(self.uid)
        if depth is None:
            raise Failed("the stream is gone")
        return depth.messages

    async def check(self, tasks: int) -> None:
        """Raises Failed where not exactly so many were ever stored."""
        depth = await self._observer.depth(self.uid)
        found = (depth.last_seq, depth.messages) if depth else None
        if found != (tasks, tasks):
            raise Failed(f"stored {found} (last sequence, messages) instead of {tasks}")

    async def drained(self, tasks: int, check: Callable[[], None]) -> float:
        """Tasks/s, from when the first is seen to be gone until the last is. ``check`` raises where nobody works."""
        begun, at_begin = 0.0, tasks
        async with asyncio.timeout(LIMIT):
            while left := await self.left():
                if not begun and left < tasks:
                    begun, at_begin = time.perf_counter(), left
                check()
                await asyncio.sleep(LOOK)
        return at_begin / (time.perf_counter() - begun)


@asynccontextmanager
async def streams(url: str) -> AsyncIterator[Streams]:
    """Made for the block, deleted behind it."""
    uid = uuid.uuid4().hex
    client = await connect(BrokerAddress(url), "benchmark")
    try:
        js = JetStream(client)
        made = JetStreamWorkStreams(js, SETTINGS)
        await made.provision(RunRef("benchmark", "benchmark", uid), SourceSummary(1, "sha256:"))
        yield Streams(js, url, uid)
        await made.delete(uid)
    finally:
        await close(client)
