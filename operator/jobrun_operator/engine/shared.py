"""One pass over all streams, shared by all runs that want to look at about the same time.

A look at one stream costs a request; a pass over a thousand costs four. A run joins the next pass that *begins* after
it asked, so that what it gets is never older than its question, and waits a little for others to join.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from jobrun_operator.engine.ports import Depth, Ends, FailedAttempt, Flow, Observer


class SharedObserver:
    """The ``Observer`` port over another one; only ``depth`` is shared."""

    def __init__(self, observer: Observer, *, gather_seconds: float = 0.1) -> None:
        """``gather_seconds``: how long a pass waits for others to join."""
        self._observer = observer
        self._gather_seconds = gather_seconds
        self._next: asyncio.Task[Mapping[str, Depth]] | None = None

    async def depth(self, uid: str) -> Depth | None:
        if self._next is None:
            self._next = asyncio.create_task(self._pass())
            # Whoever waits for it hears of its failure; where all of them were stopped, nobody needs to.
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Shielded: the run that asked first may be stopped, and the others still want the answer.
        found = (await asyncio.shield(self._next)).get(uid)
        # A pass may miss a stream (it is read page by page): only a look at the stream itself is evidence.
        return found if found is not None else await self._observer.depth(uid)

    async def _pass(self) -> Mapping[str, Depth]:
        await asyncio.sleep(self._gather_seconds)
        self._next = None  # who asks from here on gets the pass after this one
        return await self._observer.depths()

    async def depths(self) -> Mapping[str, Depth]:
        return await self._observer.depths()

    async def flow(self, uid: str) -> Flow | None:
        return await self._observer.flow(uid)

    async def ends(self, uid: str, *, exact: bool = False) -> Ends | None:
        return await self._observer.ends(uid, exact=exact)

    async def first_errors(self, uid: str) -> Sequence[FailedAttempt]:
        return await self._observer.first_errors(uid)

    async def last_errors(self, uid: str) -> Sequence[FailedAttempt]:
        return await self._observer.last_errors(uid)

    async def refusal(self, uid: str) -> str:
        return await self._observer.refusal(uid)
