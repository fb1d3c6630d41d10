"""Trials that look at when handlers begin: how soon after its release, how soon after the start of a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.contender import Readings, Sizes
from benchmarks.marks import Marks, latencies
from benchmarks.program import Program

SETTLE_SECONDS = 2.0
"""For a worker to come to rest before its memory is read."""

Send = Callable[..., Awaitable[dict[str, Any]]]
"""``send("mark", tasks, rate)``: sends at that rate, and returns ``{"sent": [...]}``, the time of each."""


async def observed_latency(
    worker: Program, marks: Marks, sizes: Sizes, send: Send, *, first: int = 0
) -> Readings:
    """Of an idle worker that is up: a task, and then ``sizes.latency`` of them, from index ``first``, at a low rate."""
    await send("mark", 1)
    await marks.until(1, worker.check)
    await asyncio.sleep(SETTLE_SECONDS)
    idle = worker.resident_mib()
    marks.clear()
    sent = (await send("mark", sizes.latency, sizes.latency_rate))["sent"]
    median, worst = latencies(sent, await marks.until(sizes.latency, worker.check), first)
    return {"start-latency-p50": median, "start-latency-p99": worst, "idle-memory": idle}


async def observed_start(worker: Program, marks: Marks, begun: int) -> Readings:
    """``begun``: nanoseconds since the epoch at which it was started, with a task waiting."""
    found = await marks.until(1, worker.check)
    return {"start-up": (found[0] - begun) / 1e9}
