"""Ends a task for certain."""

from __future__ import annotations

import asyncio
from typing import Any

_AGAIN_SECONDS = 1.0


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel ``task`` and wait for its end. What it raises stays with it.

    Again and again: a library that it waits in may swallow a cancellation, and then it would go on for ever.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_SECONDS)
