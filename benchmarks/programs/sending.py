"""The command line of what sends tasks to a queue: ``PROGRAM count|mark TASKS [RATE]``.

``count``: the tasks whose handler counts; ``mark``: those whose handler marks each. Prints JSON: the seconds that
sending took, and with a rate (a second) the time in nanoseconds at which each was sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

AT_ONCE = 1000
"""Unanswered sends of an asynchronous client."""


def send(send_one: Callable[[str, int], object]) -> None:
    """Of a client that waits for each answer."""
    what, tasks, rate = _arguments()
    sent = []
    begun = time.perf_counter()
    for index in range(tasks):
        if rate:
            time.sleep(max(0.0, begun + index / rate - time.perf_counter()))
            sent.append(time.time_ns())
        send_one(what, index)
    print(json.dumps({"seconds": time.perf_counter() - begun, "sent": sent}))


async def send_async(send_one: Callable[[str, int], Awaitable[object]]) -> None:
    """Of an asynchronous client: many at once, unless there is a rate."""
    what, tasks, rate = _arguments()
    sent = []
    begun = time.perf_counter()
    if rate:
        for index in range(tasks):
            await asyncio.sleep(max(0.0, begun + index / rate - time.perf_counter()))
            sent.append(time.time_ns())
            await send_one(what, index)
    else:
        for first in range(0, tasks, AT_ONCE):
            await asyncio.gather(
                *(send_one(what, index) for index in range(first, min(tasks, first + AT_ONCE)))
            )
    print(json.dumps({"seconds": time.perf_counter() - begun, "sent": sent}))


def _arguments() -> tuple[str, int, float]:
    what, tasks, *rate = sys.argv[1:]
    return what, int(tasks), float(rate[0]) if rate else 0.0
