"""How attempts fare, told to the engine twice a second at most: what the run's circuit breaker is decided on.

A pulse is a plain message that nothing stores: one that is lost is made up for by the next, and without an engine
nobody hears it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobrun_worker.describe import shorten
from jobrun_worker.wire import Pulse

EVERY_SECONDS = 0.5


class Pulses:
    """Counts, and tells through ``tell``."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._succeeded = self._failed = self._tail = 0
        self._error = ""

    def succeeded(self, attempts: int = 1) -> None:
        self._succeeded += attempts
        self._tail = 0
        if self._timer is None:
            self._timer = self._loop.call_later(EVERY_SECONDS, self._beat)

    def failed(self, error: str) -> None:
        self._failed += 1
        self._tail += 1
        self._error = shorten(error)
        if self._timer is None:
            self._timer = self._loop.call_later(EVERY_SECONDS, self._beat)

    def close(self) -> None:
        """Tell what is untold."""
        if self._timer is not None:
            self._timer.cancel()
            self._beat()

    def _beat(self) -> None:
        self._timer = None
        self._tell(Pulse(self._succeeded, self._failed, self._tail, self._error).encode())
        self._succeeded = self._failed = self._tail = 0
        self._error = ""
