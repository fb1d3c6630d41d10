"""The rate, in full and in every window, and no rate at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accept.bound import Bound, at_least, at_most, same, told, true
from accept.complete import completed, worker
from support.local_run import LocalRun
from support.measure import average_rate, excess, most_in_window


def steady(folder: Path, *, count: int, tasks: int, period: int, burst: int) -> Iterator[Bound]:
    """``count`` tasks at ``tasks`` in ``period`` seconds."""
    rate = tasks / period
    spec = {
        "tasks": {"count": count},
        "rate": {"tasks": tasks, "periodSeconds": period, "burst": burst},
        "worker": worker("async_noop"),
    }
    with LocalRun(folder, spec) as run:
        ended = run.run(within=60 + 3 * count / rate)
        yield from completed(run, ended, count)
        if ended.code:
            return
        times = run.released()
        yield true("released in the order of index", times == sorted(times))
        yield at_most("most released in any second", most_in_window(times, 1.0), int(rate + burst))
        yield at_most("most above the rate in any window", excess(times, rate), burst)
        # A short release that stalls before its first task is faster by its burst: allowed, and no law.
        yield at_most("rate of the whole release", average_rate(times), 1.01 * rate, "/s", of_speed=True)
        yield at_least("rate of the whole release", average_rate(times), 0.99 * rate, "/s", of_speed=True)


def unpaced(folder: Path, *, count: int) -> Iterator[Bound]:
    """No rate: as fast as one worker process keeps up."""
    spec: dict[str, Any] = {"tasks": {"count": count}, "worker": worker("async_noop")}
    with LocalRun(folder, spec, "--max-workers", "1") as run:
        run.command = ["local", "run", "run.yaml", "--data-dir", "data", "--max-workers", "1", "--json"]
        began = time.monotonic()
        ended = run.run(within=60 + count / 500)
        seconds = time.monotonic() - began
        yield same("exit code", ended.code, 0)
        yield same("succeeded", ended.tasks["succeeded"], count)
        yield same("dead letters", ended.tasks["failed"], 0)
        yield told("tasks a second, start and end included", f"{count / seconds:,.0f}/s")
