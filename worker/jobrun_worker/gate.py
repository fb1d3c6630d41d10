"""Who may start: a bounded number at a time, nobody while one runs alone, and nobody once the worker drains.

The gate is open, barred (who comes waits) or refusing (who comes or waits is sent back to the broker). Bars and
refusals are kept by reason, so that a drain that begins in a hold does not end with it.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Gate:
    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.running = 0
        self._barred: set[str] = set()
        self._refusing: set[str] = set()
        self._waiting: deque[asyncio.Future[bool]] = deque()

    @property
    def refusing(self) -> bool:
        return bool(self._refusing)

    def resize(self, slots: int) -> None:
        self.slots = slots
        self._admit()

    def try_enter(self) -> bool:
        """Take a slot if one is free now."""
        if self._barred or self._refusing or self._waiting or self.running >= self.slots:
            return False
        self.running += 1
        return True

    async def enter(self) -> bool:
        """Wait for a slot. False: the task is to be handed back."""
        if self.try_enter():
            return True
        if self._refusing:
            return False
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave()
            raise

    def enter_alone(self) -> None:
        """For the one on whose behalf the gate refuses all others."""
        self.running += 1

    def leave(self) -> None:
        self.running -= 1
        self._admit()

    def bar(self, reason: str) -> None:
        self._barred.add(reason)

    def refuse(self, reason: str) -> None:
        self._barred.discard(reason)
        self._refusing.add(reason)
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(False)

    def open(self, reason: str) -> None:
        self._barred.discard(reason)
        self._refusing.discard(reason)
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.running < self.slots and not self._barred and not self._refusing:
            turn = self._waiting.popleft()
            if not turn.done():
                self.running += 1
                turn.set_result(True)
