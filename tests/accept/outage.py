"""Workers that are away for a while: what they find when they come back, and how fast they start it.

Away in two ways. *Frozen*: every worker process is stopped by SIGSTOP, as on nodes that hang or are cut off; the
broker takes for lost what they held, and what they had asked for. *Gone*: the run is scaled to zero and back, so that
new processes start cold.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accept.bound import Bound, at_least, at_most, true
from accept.complete import completed, worker
from support.embedded_broker import most_waiting
from support.local_run import LocalRun
from support.measure import SECOND, most_in_window

_WORKERS = 2


def away(
    folder: Path, *, frozen: bool, rate: int, seconds: float, before: int, after: float
) -> Iterator[Bound]:
    """Away for ``seconds`` once ``before`` tasks have started; then enough tasks for ``after`` seconds are left."""
    burst, max_waiting = max(1, rate // 10), 2 * rate
    count = before + max_waiting + int(rate * (after + 2))
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "rate": {"tasks": rate, "periodSeconds": 1, "burst": burst},
        "maxWaiting": max_waiting,
        "worker": worker("async_logged", concurrency=4),
        "scaling": {"minReplicas": _WORKERS, "maxReplicas": _WORKERS},
    }
    with LocalRun(folder, spec, "--max-workers", str(_WORKERS)) as run:
        run.start().until_workers(_WORKERS)
        run.until_started(before)
        _leave(run, frozen)
        left = time.time_ns()
        most, found = asyncio.run(most_waiting(run.data, run.status()["stream"], seconds))
        idle = [start for start in run.starts() if start.time > left + SECOND]
        back = _come_back(run, frozen)
        ended = run.wait(within=60 + 2 * count / rate)
        yield from completed(run, ended, count)
        yield true("no task started while they were away", not idle, f"{len(idle)} did")
        yield at_most("waiting at any time while they were away", most, max_waiting)
        yield at_least("waiting when they came back", found, max_waiting - burst, of_speed=True)
        starts = sorted(start.time for start in run.starts() if start.time >= back)
        for window in (max_waiting / rate, 2 * max_waiting / rate, 10.0):
            most_started = most_in_window(starts, window)
            yield at_most(
                f"most starts in any {window:g} s from then on", most_started, int(rate * window + burst)
            )


def _leave(run: LocalRun, frozen: bool) -> None:
    if frozen:
        for process in run.workers():
            process.send(signal.SIGSTOP)
    else:
        run.edit(scaling={"minReplicas": 0, "maxReplicas": 0})
        run.until(lambda: not run.workers(), "the end of all workers")


def _come_back(run: LocalRun, frozen: bool) -> int:
    """When they could start tasks again, in nanoseconds."""
    now = time.time_ns()
    if frozen:
        for process in run.workers():
            process.send(signal.SIGCONT)
    else:
        run.edit(scaling={"minReplicas": _WORKERS, "maxReplicas": _WORKERS})
    return now
