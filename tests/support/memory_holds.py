"""The ``Holds`` port in memory, by the running loop's clock; ``hold`` is what a worker or a breaker would raise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from jobrun_operator.engine.ports import Hold


@dataclass
class MemoryHolds:
    _until: dict[str, tuple[float, str, str]] = field(default_factory=dict)
    _listeners: dict[str, Callable[[], None]] = field(default_factory=dict)

    def hold(self, uid: str, seconds: float, why: str = "Throttled", message: str = "429") -> None:
        until = asyncio.get_running_loop().time() + seconds
        if uid not in self._until or self._until[uid][0] < until:
            self._until[uid] = (until, why, message)
        if uid in self._listeners:
            self._listeners[uid]()

    def listen(self, uid: str, changed: Callable[[], None]) -> None:
        self._listeners[uid] = changed

    def forget(self, uid: str) -> None:
        self._listeners.pop(uid, None)

    async def read(self, uid: str) -> Hold | None:
        await asyncio.sleep(0)
        until, why, message = self._until.get(uid, (0.0, "", ""))
        left = until - asyncio.get_running_loop().time()
        return Hold(left, why, message, f"{until:.3f}") if left > 0 else None
