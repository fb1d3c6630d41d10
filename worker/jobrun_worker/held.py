"""The tasks that this worker holds: delivered to it and not settled yet, running or waiting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from jobrun_worker.dead_letter import DeadLetter
from jobrun_worker.wire import AttemptRecord, Delivery, RetryRequest

NEVER_TRIED = AttemptRecord()


@dataclass(slots=True, eq=False)
class Held:
    """One task from its delivery to its ack or nak."""

    index: int
    payload: bytes
    reply: bytes
    """Where to ack, nak and keep alive: of the newest delivery."""
    first: int
    """The delivery count with which this worker took it."""
    latest: int
    """The delivery count of the newest copy."""
    released_ns: int
    key: int
    """Tells it from all else that is held: a task by its index, a retry by a negative number."""
    record: AttemptRecord = NEVER_TRIED
    record_sequence: int = 0
    """Of the stored record in the stream of outcomes; 0: there is none."""
    record_writes: tuple[str, ...] = ()
    """Marks of the writes that the stored record came of, the newest first."""
    lost: int = 0
    attempt: int = 1
    started_ns: int = 0
    """When its handler began: nanoseconds since the epoch; 0: it has not."""
    deadline: float = 0.0
    """On the loop's clock; 0: its handler does not run."""
    timed_out: bool = False
    booked: int = 0
    """Of its copies, those that the stored record counts as returns."""
    alone: bool = False
    """Its handler runs with nothing else held here."""
    excused: bool = False
    """The stored record counts this delivery as a return already."""
    kept: bool = False
    """Its result is on its way to the broker, whose answer ends it: see ``keeping``."""
    batched: bool = False
    """It is on its way through a batch, which ends it: see ``batches``."""
    settled: bool = False
    """Its ack or nak is on its way: a keep-alive after a nak would undo the nak's delay."""
    runner: asyncio.Task[None] | None = None
    dead_letter: DeadLetter | None = None
    """Of which this is a retry; None: it is the task itself."""

    @classmethod
    def of(cls, delivery: Delivery, reply: bytes, payload: bytes) -> Held:
        index, delivered, released_ns = delivery
        return cls(index, payload, reply, delivered, delivered, released_ns, index)

    @classmethod
    def of_retry(cls, delivery: Delivery, reply: bytes, request: RetryRequest) -> Held:
        """Its payload is in the dead letter, which is to be read."""
        delivered, sequence = delivery.delivered, delivery.index + 1
        return cls(
            request.index, b"", reply, delivered, delivered, delivery.released_ns, -sequence,
            dead_letter=DeadLetter(request.dead_letter, sequence),
        )  # fmt: skip

    @property
    def record_name(self) -> str:
        """Last token of the subject of its attempt record: a retry begins with a new one."""
        return str(self.index) if self.dead_letter is None else f"{self.index}-{self.dead_letter.request}"

    @property
    def copies(self) -> int:
        """Deliveries of this task that came while it was held here."""
        return self.latest - self.first

    def adopt(self, delivery: Delivery, reply: bytes) -> None:
        """Another copy came: from now on its reply subject is the one that the broker waits on.

        Also where its count is lower: a broker that was killed may have forgotten the newest deliveries, and then
        ignores a nak that refers to one of them.
        """
        self.reply = reply
        self.latest = max(self.latest, delivery.delivered)
