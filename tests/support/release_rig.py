"""A Releaser on a broker in memory, with workers that take what is there. In virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from jobrun_operator.core.pacing import Limits, Rate
from jobrun_operator.engine.ports import RunRef
from jobrun_operator.engine.prepare import prepare
from jobrun_operator.engine.releaser import Releaser
from support.listed_source import ListedSource
from support.memory_broker import MemoryBroker

UID = "0001"
RUN = RunRef("shop", "backfill", UID)


class ReleaseRig:
    """``look()`` is what the slow loop of a run does; ``looking`` and ``working`` do it as long as they are open."""

    def __init__(self, broker: MemoryBroker, source: ListedSource, releaser: Releaser, total: int) -> None:
        self.broker = broker
        self.source = source
        self.releaser = releaser
        self.total = total

    def ask(
        self,
        per_second: float | None = None,
        burst: float = 1.0,
        *,
        max_waiting: int = 1_000_000,
        max_outstanding: int = 1_000_000,
    ) -> None:
        rate = Rate(per_second, burst) if per_second is not None else None
        self.releaser.limit(Limits(self.total, rate, max_waiting, max_outstanding))

    @property
    def times(self) -> list[float]:
        """When each task was stored."""
        return [stored.at for stored in self.broker.stored]

    def times_from(self, start: float) -> list[float]:
        return [at for at in self.times if at >= start]

    @property
    def is_all_released(self) -> bool:
        return self.releaser.released == self.total

    async def look(self) -> None:
        mark = self.releaser.mark()
        depth, flow = await self.broker.depth(UID), await self.broker.flow(UID)
        if depth is not None and flow is not None:
            self.releaser.observed(mark, depth, flow)

    async def work(self, most: int) -> None:
        """Take up to ``most`` tasks and finish them."""
        for task in await self.broker.take(UID, most):
            await self.broker.ack(task)


@contextlib.asynccontextmanager
async def releasing(
    total: int,
    *,
    broker: MemoryBroker | None = None,
    source: ListedSource | None = None,
    pulled: bool = True,
) -> AsyncIterator[ReleaseRig]:
    """``pulled``: a worker asks for tasks from the start."""
    broker, source = broker or MemoryBroker(), source or ListedSource(total)
    broker.pulled = pulled
    prepared = await prepare(RUN, source, broker, broker, begun=False, keeps_results=False)
    releaser = Releaser(RUN, source, broker, broker, depth=prepared.depth, flow=prepared.flow)
    async with background(releaser.run()):
        yield ReleaseRig(broker, source, releaser, total)


@contextlib.asynccontextmanager
async def background(work: object) -> AsyncIterator[None]:
    """Beside the body, ended with it; an error of its own is the test's."""
    assert asyncio.iscoroutine(work)
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        done = task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert not done or task.exception() is None


async def every(seconds: float, do: Callable[[], object]) -> None:
    while True:
        result = do()
        if asyncio.iscoroutine(result):
            await result
        await asyncio.sleep(seconds)


def now() -> float:
    return asyncio.get_running_loop().time()


def bodies_by_index(broker: MemoryBroker, uid: str = UID) -> dict[int, bytes]:
    """Each task's body as it was stored last."""
    return {stored.seq - 1: stored.body for stored in broker.stored if stored.uid == uid}


def assert_exactly_once(broker: MemoryBroker, total: int, uid: str = UID) -> None:
    """Every task stored once, at its own place, with its own payload."""
    assert [(one.seq, one.body) for one in broker.stored if one.uid == uid] == [
        (index + 1, b"task %d" % index) for index in range(total)
    ]


__all__ = [
    "RUN",
    "UID",
    "ReleaseRig",
    "assert_exactly_once",
    "background",
    "bodies_by_index",
    "every",
    "now",
    "releasing",
]
