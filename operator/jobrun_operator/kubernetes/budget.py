"""How many writes a second the Kubernetes API gets from this operator, whatever the number of runs; which come first.

What is waited for (a scale, a transition) waits its turn, the more urgent first. Progress is never queued: by the time
of its turn it would be old, and the run that waited would be slow at everything else. It is written when its run's turn
has come in a round over all runs that have something to write.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from enum import IntEnum

from jobrun_operator.errors import ApiUnavailable

_SHARE_OF_PROGRESS = 0.7
"""Of the writes; the rest is kept for what is urgent."""

_FORGET_SECONDS = 30.0
"""A run that has not asked for so long does not take part in the round."""


class Urgency(IntEnum):
    """The order of what waits."""

    SCALE = 0
    TRANSITION = 1
    EVENT = 2


class WriteBudget:
    """A token bucket: ``per_second`` writes, and as many at once after a pause."""

    def __init__(self, per_second: float, *, on_waiting: Callable[[int], None] = lambda _: None) -> None:
        self._per_second = per_second
        self._on_waiting = on_waiting
        self._tokens = per_second
        self._filled_at = float("-inf")
        self._queue: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._asked: dict[str, float] = {}
        self._written: dict[str, float] = {}
        self._pruned_at = float("-inf")

    async def take(self, urgency: Urgency, *, within: float | None = None) -> None:
        """Return when one write may be made. Raises ApiUnavailable where that takes more than ``within`` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._take(urgency)
        except TimeoutError as error:
            raise ApiUnavailable("more urgent writes to the Kubernetes API come first") from error

    async def _take(self, urgency: Urgency) -> None:
        if not self._queue and self._try():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (urgency, next(self._numbers), turn))
        self._on_waiting(len(self._queue))
        self._schedule()
        await turn

    def may_show_progress(self, uid: str) -> bool:
        """Whether the run ``uid`` may write its progress now; if not, it asks again at its next look."""
        now = self._now()
        self._asked[uid] = now
        if now - self._pruned_at >= _FORGET_SECONDS:
            self._pruned_at = now
            self._asked = {one: at for one, at in self._asked.items() if now - at < _FORGET_SECONDS}
            self._written = {one: at for one, at in self._written.items() if one in self._asked}
        turn = len(self._asked) / (self._per_second * _SHARE_OF_PROGRESS)
        if now - self._written.get(uid, float("-inf")) < turn or self._queue or not self._try():
            return False
        self._written[uid] = now
        return True

    def _try(self) -> bool:
        now = self._now()
        self._tokens = min(self._per_second, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _schedule(self) -> None:
        if self._timer is None and self._queue:
            wait = max(0.0, (1 - self._tokens) / self._per_second)
            self._timer = asyncio.get_running_loop().call_later(wait, self._serve)

    def _serve(self) -> None:
        self._timer = None
        while self._queue:
            if self._queue[0][2].done():  # who waited was cancelled
                heapq.heappop(self._queue)
            elif self._try():
                heapq.heappop(self._queue)[2].set_result(None)
            else:
                break
        self._on_waiting(len(self._queue))
        self._schedule()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
