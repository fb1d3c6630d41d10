"""What one conformance suite needs of a broker, in memory or real: its three ports, its workers and its accidents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

from jobrun_operator.engine.ports import Observer, Publisher, RunRef, SourceSummary, WorkStreams
from jobrun_worker.wire import AttemptRecord, Outcome
from support.memory_broker import MemoryBroker, Taken

UID = "0001"
RUN = RunRef("shop", "backfill", UID)
SOURCE = SourceSummary(5000, "sha256:abc", "v1")


class Bench(Protocol):
    @property
    def streams(self) -> WorkStreams: ...
    @property
    def observer(self) -> Observer: ...
    @property
    def publisher(self) -> Publisher: ...

    def sharing(self, installation: str) -> Self:
        """Another installation on the same broker."""
        ...

    async def release_unanswered(self, uid: str, after: int, payloads: Sequence[bytes]) -> int:
        """A release whose acknowledgement is lost."""
        ...

    async def bodies(self, uid: str) -> list[bytes]:
        """What is in the stream of work, by sequence."""
        ...

    async def take(self, uid: str, most: int) -> list[Taken]: ...
    async def ack(self, task: Taken) -> None: ...
    async def nak(self, task: Taken) -> None: ...
    async def store_outcome(self, uid: str, outcome: Outcome) -> bool: ...
    async def overwrite_dead(self, uid: str, outcome: Outcome) -> None: ...
    async def remove_dead(self, uid: str, index: int) -> None: ...
    async def store_attempt(self, uid: str, index: int, record: AttemptRecord) -> None: ...
    async def lose_consumer(self, uid: str) -> None: ...
    async def lose_counters(self, uid: str) -> None: ...
    async def lose_work(self, uid: str) -> None: ...
    async def lose_outcomes(self, uid: str) -> None: ...


class MemoryBench:
    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.streams = self.observer = self.publisher = broker
        self.take, self.ack, self.nak = broker.take, broker.ack, broker.nak
        self.store_outcome, self.store_attempt = broker.store_outcome, broker.store_attempt
        self.overwrite_dead, self.remove_dead = broker.overwrite_dead, broker.remove_dead

    def sharing(self, installation: str) -> MemoryBench:
        return MemoryBench(self.broker.sharing(installation))

    async def release_unanswered(self, uid: str, after: int, payloads: Sequence[bytes]) -> int:
        self.broker.lost_acks = 1
        return await self.broker.release(uid, after, payloads)

    async def bodies(self, uid: str) -> list[bytes]:
        return self.broker.bodies(uid)

    async def lose_consumer(self, uid: str) -> None:
        self.broker.lose_consumer(uid)

    async def lose_counters(self, uid: str) -> None:
        self.broker.lose_counters(uid)

    async def lose_work(self, uid: str) -> None:
        self.broker.lose_work(uid)

    async def lose_outcomes(self, uid: str) -> None:
        self.broker.lose_outcomes(uid)


def outcome(index: int, *, succeeded: bool = False, error: str = "boom", attempts: int = 4) -> Outcome:
    return Outcome(
        index=index,
        succeeded=succeeded,
        body=b'{"n": %d}' % index,
        attempts=attempts,
        worker="w-1",
        released_at="2026-01-01T00:00:00.000000Z",
        started_at="2026-01-01T00:00:01.000000Z",
        finished_at="2026-01-01T00:00:02.000000Z",
        reason="" if succeeded else "MaxAttempts",
        error="" if succeeded else error,
    )


def payloads(count: int, start: int = 0) -> list[bytes]:
    return [b"task %d" % index for index in range(start, start + count)]
