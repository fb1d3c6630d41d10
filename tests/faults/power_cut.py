"""A run whose broker loses its power in the middle, and what becomes of it."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults import checker, evidence
from faults.checker import Expected
from faults.trial import MAX_ATTEMPTS, WORKERS
from faults.world import World

_LIMIT_SECONDS = 240.0
"""For all of it, on any machine."""
_LOST = re.compile(r"the broker lost (\d+) released tasks")


@dataclass(frozen=True, slots=True)
class AfterPowerCut:
    violations: list[str]
    """By the checker."""
    released_again: int
    """Tasks that the engine found lost with the tail of the stream."""
    recovery: float
    """Seconds from the broker's return to the next begin of a handler."""
    reason: str
    """Of the run's end."""


async def run(
    folder: Path,
    *,
    tasks: int,
    rate: int,
    sync_always: bool,
    outcomes_last: bool = False,
    all_lost: bool = False,
) -> AfterPowerCut:
    """The power goes when half of the tasks have begun.

    Without ``sync_always`` the kernel has written back by itself what there was when a fifth had begun; with
    ``outcomes_last`` all the rest as well, but for the outcomes; with ``all_lost`` nothing at all.
    """
    spec: dict[str, Any] = {
        "tasks": {"count": tasks},
        "rate": {"tasks": rate, "periodSeconds": 1, "burst": rate // 10},
        "worker": {"python": "handlers:handle", "taskTimeoutSeconds": 5},
        "scaling": {"minReplicas": WORKERS, "maxReplicas": WORKERS},
        "retry": {"maxAttempts": MAX_ATTEMPTS, "initialDelaySeconds": 1, "maxDelaySeconds": 1},
        "results": {"retain": True},
    }
    world = World(folder, spec, sync_always=sync_always, small_disk=False, traced=True)
    async with asyncio.timeout(_LIMIT_SECONDS), world:
        await _begun(world, tasks // 5)
        written_back = 0.0 if sync_always or all_lost else time.time()
        await _begun(world, tasks // 2)
        await world.cut_power(written_back=written_back, last_but="_out/" if outcomes_last else "")
        back = time.time_ns()
        await world.finished.wait()
        stored = world.store.load()
        assert stored is not None
        status = stored.to_wire()["status"]
        reason = next(one["reason"] for one in status["conditions"] if one["type"] == "Finished")
        if all_lost:
            return AfterPowerCut([], 0, 0.0, reason)
        found = await evidence.gather(world.broker.url, world.run.uid, world.log, status)
        said = (folder / "engine.log").read_text()
    expected = Expected(tasks, rate, rate // 10, MAX_ATTEMPTS, tail_lost=not sync_always)
    after = [line.time for line in found.log if line.begins and line.time > back]
    return AfterPowerCut(
        violations=checker.check(found, expected),
        released_again=sum(int(number) for number in _LOST.findall(said)),
        recovery=(min(after, default=back) - back) / 1e9,
        reason=reason,
    )


async def _begun(world: World, tasks: int) -> None:
    while len({line.index for line in evidence.read_log(world.log)}) < tasks:  # noqa: ASYNC110  # a file has no event
        await asyncio.sleep(0.02)
