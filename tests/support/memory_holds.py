"""The ports ``Holds`` and ``Pulses`` in memory, by the running loop's clock; ``raise_now`` is as a worker does it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from jobrun_operator.engine.ports import Hold
from jobrun_operator.errors import JobRunError
from jobrun_worker.holding import Wish
from jobrun_worker.wire import Pulse


@dataclass
class MemoryHolds:
    raised: list[tuple[str, float, Wish]] = field(default_factory=list)
    """By engines."""
    fault: JobRunError | None = None
    """Where set, raising one fails with it."""
    _until: dict[str, tuple[float, str, str]] = field(default_factory=dict)
    _listeners: dict[str, Callable[[], None]] = field(default_factory=dict)

    def raise_now(self, uid: str, seconds: float, why: str = "Throttled", message: str = "429") -> None:
        until = asyncio.get_running_loop().time() + seconds
        if uid not in self._until or self._until[uid][0] < until:
            self._until[uid] = (until, why, message)
        if uid in self._listeners:
            self._listeners[uid]()

    async def hold(self, uid: str, seconds: float, wish: Wish) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        self.raised.append((uid, seconds, wish))
        self.raise_now(uid, seconds, wish.why, wish.message)

    def listen(self, uid: str, changed: Callable[[], None]) -> None:
        self._listeners[uid] = changed

    def forget(self, uid: str) -> None:
        self._listeners.pop(uid, None)

    async def read(self, uid: str) -> Hold | None:
        await asyncio.sleep(0)
        until, why, message = self._until.get(uid, (0.0, "", ""))
        left = until - asyncio.get_running_loop().time()
        return Hold(left, why, message, f"{until:.3f}") if left > 0 else None


@dataclass
class MemoryPulses:
    _listeners: dict[str, Callable[[Pulse], None]] = field(default_factory=dict)

    def is_heard(self, uid: str) -> bool:
        return uid in self._listeners

    def tell(self, uid: str, pulse: Pulse) -> None:
        """As a worker does; without an engine nobody hears it."""
        if uid in self._listeners:
            self._listeners[uid](pulse)

    def listen(self, uid: str, heard: Callable[[Pulse], None]) -> None:
        self._listeners[uid] = heard

    def forget(self, uid: str) -> None:
        self._listeners.pop(uid, None)
