"""Seeded faults and power cuts, in full size (``make faults`` runs as many schedules as asked for)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from accept.bound import Bound, at_least, at_most, same, told
from faults import power_cut, schedule, trial
from faults.strace import can_trace


def schedules(folder: Path, *, seeds: range) -> Iterator[Bound]:
    for seed in seeds:
        verdict = asyncio.run(trial.run(schedule.draw(seed), folder / str(seed)))
        faults = ", ".join(fault.kind for fault in verdict.schedule.faults)
        yield same(f"seed {seed}: violations ({faults})", verdict.violations, [])
        yield told("  tasks, begun, redeliveries", f"{verdict.tasks}, {verdict.begun}, {verdict.redelivered}")


def power_cuts(folder: Path, *, tasks: int, rate: int) -> Iterator[Bound]:
    if not can_trace():
        yield told("power cuts", "skipped: strace is not installed, or may not attach")
        return
    for sync_always in (True, False):
        how = "each write synced" if sync_always else "writes not synced"
        after = asyncio.run(
            power_cut.run(folder / str(sync_always), tasks=tasks, rate=rate, sync_always=sync_always)
        )
        yield same(f"{how}: violations", after.violations, [])
        limit = at_most if sync_always else at_least
        yield limit(f"{how}: released again", after.released_again, 0 if sync_always else 1)
        yield told(f"{how}: next task begun after", f"{after.recovery:.1f} s")
    after = asyncio.run(
        power_cut.run(folder / "last", tasks=tasks, rate=rate, sync_always=False, outcomes_last=True)
    )
    yield same("writes not synced, outcomes written back last: the run says", after.reason, "TasksLost")
