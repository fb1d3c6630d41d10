"""The ``Retries`` port on the broker in memory, and what users and workers do with it, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from jobrun_operator.engine.ports import Asked, RunRef, SourceSummary
from jobrun_worker.wire import Outcome
from support.memory_broker import MemoryBroker


@dataclass
class _Queue:
    waiting: list[int] = field(default_factory=list)
    """Indexes, the oldest first."""
    held: set[int] = field(default_factory=set)
    notes: dict[int, Outcome] = field(default_factory=dict)
    deliveries: int = 0
    paused: bool = False
    unseen: list[int] = field(default_factory=list)
    """Of ``waiting``, but out of the sight of what delivers them."""


@dataclass
class MemoryRetries:
    broker: MemoryBroker
    seconds: float = 0.1
    """That a retry takes."""
    fails: Callable[[int], bool] = lambda index: False
    calls: list[tuple[float, int]] = field(default_factory=list)
    """When each retry began, and of which index."""
    permits: list[tuple[int, int]] = field(default_factory=list)
    """How many were permitted, and how many at most to one process."""
    _queues: dict[str, _Queue] = field(default_factory=dict)
    _busy: set[asyncio.Task[None]] = field(default_factory=set)

    def takes(self, uid: str) -> bool:
        """Whether there is a place to ask in."""
        return uid in self._queues

    def ask(self, uid: str, *indexes: int) -> None:
        """As a user does."""
        self._queues[uid].waiting += indexes

    def lose_sight(self, uid: str) -> None:
        """As a broker that was killed may: of all that waits now."""
        queue = self._queues[uid]
        queue.unseen, queue.waiting = queue.waiting, []

    # --- the port ---------------------------------------------------------------------------------------

    async def open(self, run: RunRef, source: SourceSummary) -> None:
        await asyncio.sleep(0)
        self._queues.setdefault(run.uid, _Queue())

    async def close(self, uid: str) -> None:
        await asyncio.sleep(0)
        self._queues.pop(uid, None)

    async def asked(self, uid: str) -> Asked | None:
        await asyncio.sleep(0)
        queue = self._queues.get(uid)
        if queue is None:
            return None
        waiting, held = len(queue.waiting), len(queue.held)
        return Asked(waiting + held + len(queue.unseen), waiting, held, queue.deliveries, queue.paused)

    async def settle(self, uid: str, *, keep: bool) -> int:
        await asyncio.sleep(0)
        notes, self._queues[uid].notes = self._queues[uid].notes, {}
        for index, note in notes.items():
            await self.broker.remove_dead(uid, index)
            if keep:
                await self.broker.store_outcome(uid, note)
        return len(notes)

    async def permit(self, uid: str, count: int, at_a_time: int) -> None:
        await asyncio.sleep(0)
        queue = self._queues[uid]
        self.permits.append((count, at_a_time))
        while count and queue.waiting and not queue.paused:
            index = queue.waiting.pop(0)
            queue.held.add(index)
            queue.deliveries += 1
            count -= 1
            doing = asyncio.create_task(self._do(uid, queue, index))
            self._busy.add(doing)
            doing.add_done_callback(self._busy.discard)

    async def pause(self, uid: str, *, paused: bool) -> None:
        await asyncio.sleep(0)
        self._queues[uid].paused = paused

    async def rebuild(self, uid: str, *, paused: bool) -> None:
        await asyncio.sleep(0)
        queue = self._queues[uid]
        queue.waiting, queue.unseen, queue.paused = queue.unseen + queue.waiting, [], paused

    async def wanted(self) -> Collection[str]:
        await asyncio.sleep(0)
        return {uid for uid, queue in self._queues.items() if queue.waiting or queue.held}

    # --- a worker ---------------------------------------------------------------------------------------

    async def _do(self, uid: str, queue: _Queue, index: int) -> None:
        self.calls.append((asyncio.get_running_loop().time(), index))
        await asyncio.sleep(self.seconds)
        before = self.broker.dead_letter(uid, index)
        if self.fails(index):
            await self.broker.overwrite_dead(uid, replace(before, attempts=before.attempts + 1))
        else:
            queue.notes[index] = replace(
                before, succeeded=True, body=b"null", reason="", error="", attempts=before.attempts + 1
            )
        queue.held.discard(index)
