"""How the loops of a run rest between two turns; with a thousand runs, a thousand times a second."""

from __future__ import annotations

import asyncio


async def wake_within(seconds: float | None, wake: asyncio.Event) -> None:
    """Return once ``wake`` is set, and set it after so many seconds (None: never).

    With ``asyncio.timeout`` each rest would end in a cancellation and two exceptions.
    """
    timer = asyncio.get_running_loop().call_later(seconds, wake.set) if seconds is not None else None
    try:
        await wake.wait()
    finally:
        if timer is not None:
            timer.cancel()
