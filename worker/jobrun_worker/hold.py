"""The pause of this worker while its run is held: it takes nothing, and hands back what has not begun."""

from __future__ import annotations

import asyncio
import logging

from jobrun_worker.gate import Gate
from jobrun_worker.pull import Puller

log = logging.getLogger(__name__)

HOLD = "hold"


class Hold:
    def __init__(self, gate: Gate, puller: Puller) -> None:
        self._gate = gate
        self._puller = puller
        self._loop = asyncio.get_running_loop()
        self._until = 0.0
        self._release: asyncio.TimerHandle | None = None

    @property
    def on(self) -> bool:
        return self._release is not None

    def left(self) -> float:
        """Seconds."""
        return max(0.0, self._until - self._loop.time())

    def begin(self, seconds: float, reason: str) -> bool:
        """Of several pauses the one that ends last counts; False: there is one that ends later. What has not begun
        goes back for as long."""
        until = self._loop.time() + seconds
        if until <= self._until:
            return False
        if until - self._until > 1.0:  # the same hold, heard again, is told once
            log.info("takes no tasks for %.1f s: %s", seconds, reason)
        self._until = until
        if self._release is not None:
            self._release.cancel()
        self._gate.refuse(HOLD)
        self._puller.block(HOLD)
        self._release = self._loop.call_at(until, self._end)
        return True

    def close(self) -> None:
        if self._release is not None:
            self._release.cancel()

    def _end(self) -> None:
        self._release = None
        self._gate.open(HOLD)
        self._puller.start(HOLD)
