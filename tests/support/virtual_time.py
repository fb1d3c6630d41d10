"""An event loop whose clock is virtual: where every task waits, time jumps to the next timer.

A run of hours takes milliseconds, and is the same every time. Where nothing could ever wake a task again the loop
says so instead of hanging. Not for real I/O. A ``conftest.py`` makes it the loop of its folder.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

INSTANT = 1e-9
"""Seconds that one turn of the loop takes: without it, what waits for less than the clock resolves would spin."""


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.advance: Callable[[float], None] = lambda seconds: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits for something that nothing in this test will bring about")
        self.advance(max(timeout, INSTANT))
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """``time()`` begins at 0."""

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        selector.advance = self._advance
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _advance(self, seconds: float) -> None:
        self._now += seconds


def loop_factories(*_: Any) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """For the hook ``pytest_asyncio_loop_factories``."""
    return {"virtual": VirtualTimeLoop}


async def until(condition: Callable[[], object], *, seconds: float = 3600.0, every: float = 0.01) -> None:
    """Return once ``condition`` holds; fails after so many virtual seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, f"not so within {seconds:g} s"
        await asyncio.sleep(every)
