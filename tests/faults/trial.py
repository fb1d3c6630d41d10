"""One schedule from its start to its verdict."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from faults import checker, evidence
from faults.checker import Expected
from faults.evidence import Evidence
from faults.injection import Injection
from faults.schedule import POWER_LOST, Schedule
from faults.strace import can_trace
from faults.world import World

START_SECONDS = 60.0
"""Until the first task has begun, on any machine."""
END_SECONDS = 90.0
FULL_END_SECONDS = 300.0
"""From the last fault's end until the run has ended, on any machine; the second at full rate, with all its tasks."""
GONE_SECONDS = 10.0
WORKERS = 2
MAX_ATTEMPTS = 4
_FORGETS = {"broker-killed", "disk-full", POWER_LOST}
"""After these the broker may have forgotten what workers had taken: what was not written yet, or could not be."""
_AS_NEEDED = {
    "minReplicas": 0,
    "maxReplicas": 3,
    "drainSeconds": 3,
    "scaleDown": {"stabilizationWindowSeconds": 2},
}


@dataclass
class Verdict:
    schedule: Schedule
    folder: Path
    violations: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    tasks: int = 0
    begun: int = 0
    """Begins of handlers, those again included."""
    redelivered: int = 0
    dead: int = 0
    recovery: float = 0.0
    """Seconds from the end of the last fault to the end of the run."""

    @property
    def holds(self) -> bool:
        return not self.violations


def spec_of(schedule: Schedule) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "tasks": {"count": schedule.tasks},
        "worker": {
            "python": f"handlers:{_handler_of(schedule)}",
            "concurrency": schedule.concurrency,
            "processes": schedule.processes,
            "taskTimeoutSeconds": 20,
        }
        | ({"batchSize": schedule.batch_size} if schedule.batch_size else {}),
        "scaling": _AS_NEEDED if schedule.scales else {"minReplicas": WORKERS, "maxReplicas": WORKERS},
        "retry": {"maxAttempts": MAX_ATTEMPTS, "initialDelaySeconds": 1, "maxDelaySeconds": 2},
        "circuitBreaker": {
            "openSeconds": 1
        },  # so that what rests after a trial comes back within the time of a test
        "results": {"retain": schedule.keeps_results},
    }
    spec["maxWaiting"] = max_waiting_of(schedule)
    if schedule.rate is None:
        return spec
    return spec | {"rate": {"tasks": schedule.rate, "periodSeconds": 1, "burst": burst_of(schedule)}}


def _handler_of(schedule: Schedule) -> str:
    if not schedule.full_rate:
        return "handle"
    return "handle_batch" if schedule.batch_size else "handle_at_once"


def burst_of(schedule: Schedule) -> int:
    return (schedule.rate or 0) // 10


def max_waiting_of(schedule: Schedule) -> int:
    return 10_000 if schedule.full_rate else schedule.rate or 300


async def run(schedule: Schedule, folder: Path) -> Verdict:
    verdict = Verdict(schedule, folder)
    world = World(
        folder,
        spec_of(schedule),
        sync_always=schedule.sync_always,
        small_disk="disk-full" in schedule.kinds,
        traced=POWER_LOST in schedule.kinds and can_trace(),
    )
    try:
        async with world:
            await _drive(world, schedule, verdict)
    except Exception as error:
        verdict.violations.append(f"the trial itself failed: {type(error).__name__}: {error}")
    return verdict


async def _drive(world: World, schedule: Schedule, verdict: Verdict) -> None:
    waiting = evidence.Waiting(world.run.uid)
    async with _beside(waiting.watch(world.broker.url)):
        found = await _see_to_its_end(world, schedule, verdict)
    if found is None:
        return
    await world.end_processes()
    await _until(lambda: not world.processes(), GONE_SECONDS)
    left = tuple(f"{process.pid} {process.command}" for process in world.processes())
    _judge(replace(found, processes=left, most_waiting=waiting.most), schedule, verdict)


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _see_to_its_end(world: World, schedule: Schedule, verdict: Verdict) -> Evidence | None:
    """Start, faults, and the end of the run; what it has left, where there is any."""
    loop = asyncio.get_running_loop()
    begins = (lambda: world.engine is not None) if schedule.from_start else world.log.exists
    if not await _until(begins, START_SECONDS):
        verdict.violations.append(f"not begun within {START_SECONDS:g} s")
        return None
    injection = Injection(world, sync_always=schedule.sync_always)
    await injection.run(schedule)
    verdict.done, verdict.skipped = injection.done, injection.skipped
    healed = loop.time()
    patience = FULL_END_SECONDS if schedule.full_rate else END_SECONDS
    ended = await _until(lambda: world.finished.is_set() or bool(world.trouble()), patience)
    verdict.recovery = loop.time() - healed
    if trouble := world.trouble():
        verdict.violations.append(f"the trial itself failed: {trouble}")
        return None
    stored = world.store.load()
    assert stored is not None
    status = stored.to_wire().get("status") or {}
    found = await evidence.gather(world.broker.url, world.run.uid, world.log, status)
    if not ended:
        verdict.violations.append(f"not ended {patience:g} s after the last fault: {status.get('tasks')}")
    return found


def _judge(found: Evidence, schedule: Schedule, verdict: Verdict) -> None:
    expected = Expected(
        schedule.tasks,
        schedule.rate,
        burst_of(schedule),
        MAX_ATTEMPTS,
        keeps_results=schedule.keeps_results,
        max_waiting=None if verdict.done.keys() & _FORGETS else max_waiting_of(schedule),
        tail_lost=not schedule.sync_always and verdict.done[POWER_LOST] > 0,
    )
    verdict.violations += checker.check(found, expected)
    verdict.tasks = len({line.index for line in found.log})
    verdict.begun = sum(line.begins for line in found.log)
    verdict.redelivered = found.redelivered
    verdict.dead = sum(one.kind == "dead" for one in found.outcomes)


async def _until(look: Any, seconds: float) -> bool:
    """Whether it came to be so."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not look():  # noqa: ASYNC110  # files and processes have no event to wait on
                await asyncio.sleep(0.02)
            return True
    return False
