"""The broker is gone for a long time, while engine and workers live on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accept.bound import Bound, at_most, same, told, true
from faults import checker, evidence
from faults.checker import Expected
from faults.trial import MAX_ATTEMPTS, WORKERS
from faults.world import World
from jobrun_operator.api import Phase
from jobrun_operator.errors import BrokerUnavailable
from support.engine_rig import EngineRig, rig
from support.release_rig import assert_exactly_once
from support.virtual_time import VirtualTimeLoop, until

RECOVERY_SECONDS = 5.0


def in_virtual_time(_: Path, *, seconds: float, count: int, rate: int) -> Iterator[Bound]:
    """The whole engine, on a broker in memory that answers nothing for that long."""
    r = rig(count, rate={"tasks": rate, "periodSeconds": 1})
    r.labour.seconds = 2.0
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        yield from runner.run(_out(r, seconds, rate))


async def _out(r: EngineRig, seconds: float, rate: int) -> list[Bound]:
    loop = asyncio.get_running_loop()
    async with r.drive():
        await r.reaches(Phase.RUNNING)
        await until(lambda: len(r.broker.stored) >= 20 * rate)
        before, workers = len(r.broker.stored), (await r.workers.observe(r.run.uid)).desired
        r.broker.fault = BrokerUnavailable("away")
        most, fewest, gone = workers, workers, loop.time()
        while loop.time() < gone + seconds:
            await asyncio.sleep(0.5)
            asked = (await r.workers.observe(r.run.uid)).desired
            most, fewest = max(most, asked), min(fewest, asked)
        said, released = r.reason(), len(r.broker.stored) - before
        r.broker.fault = None
        back, calls = loop.time(), len(r.labour.calls)
        await until(lambda: len(r.broker.stored) > before and len(r.labour.calls) > calls, every=0.01)
        recovery = loop.time() - back
        await r.ends(seconds=36_000)
    tasks = r.run.status.tasks
    assert tasks is not None
    assert tasks.total is not None
    assert_exactly_once(r.broker, tasks.total)
    return [
        same("workers asked for while it is away: fewest, most", (fewest, most), (workers, workers)),
        same("what the condition Ready says meanwhile", said, "BrokerUnavailable"),
        same("released while it is away", released, 0),
        at_most("releasing and working again after", recovery, RECOVERY_SECONDS, " s"),
        same("phase", str(r.phase), "Completed"),
        same("ended", (tasks.succeeded, tasks.failed, tasks.outstanding), (tasks.total, 0, 0)),
    ]


def for_real(folder: Path, *, seconds: float, rate: int, unreachable: bool) -> Iterator[Bound]:
    """A nats-server that is killed, and started again so much later, under an engine and workers that stay.

    ``unreachable``: it lives on, but nothing gets through to it, and no connection is told.
    """
    yield from asyncio.run(_real(folder, seconds, rate, unreachable))


async def _real(folder: Path, seconds: float, rate: int, unreachable: bool) -> list[Bound]:
    count = rate * 20
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "rate": {"tasks": rate, "periodSeconds": 1, "burst": rate // 10},
        "worker": {"python": "handlers:handle"},
        "scaling": {"minReplicas": WORKERS, "maxReplicas": WORKERS},
        "retry": {"maxAttempts": MAX_ATTEMPTS, "initialDelaySeconds": 1, "maxDelaySeconds": 2},
        "results": {"retain": True},
    }
    world = World(folder, spec, sync_always=True, small_disk=False)
    async with world:
        await _begun(world, count // 2)
        engine, workers = world.engine, {process.pid for process in world.workers()}
        await _leave(world, unreachable)
        gone = time.time_ns()
        asked: set[str] = set()
        while time.time_ns() < gone + seconds * 1e9:
            asked.add((folder / "desired").read_text())
            await asyncio.sleep(0.2)
        same_processes = {process.pid for process in world.workers()} == workers and world.engine is engine
        await _return(world, unreachable)
        back = time.time_ns()
        await world.finished.wait()
        stored = world.store.load()
        assert stored is not None
        found = await evidence.gather(world.broker.url, world.run.uid, world.log, stored.to_wire()["status"])
    expected = Expected(count, rate, rate // 10, MAX_ATTEMPTS)
    idle = [line for line in found.log if line.begins and gone + 5e9 < line.time < back]
    begins = {pid: _first_after(found.log, pid, back) for pid in workers}
    released = min((one.released for one in found.outcomes if one.released > back), default=0)
    return [
        same("numbers of workers asked for while it was away", len(asked), 1),
        true("engine and workers are the same processes", same_processes and world.engine is engine),
        same("tasks begun while it was away", len(idle), 0),
        at_most("first task released after its return", (released - back) / 1e9, RECOVERY_SECONDS, " s"),
        *(
            at_most(f"worker {number} began a task after", (begun - back) / 1e9, RECOVERY_SECONDS, " s")
            for number, begun in enumerate(begins.values(), start=1)
        ),
        same("workers", len(workers), WORKERS),
        same("violations", checker.check(found, expected), []),
        told("redeliveries", str(found.redelivered)),
    ]


async def _leave(world: World, unreachable: bool) -> None:
    if not unreachable:
        await world.broker.kill()
        return
    for link in (world.engine_link, world.worker_link):
        link.hold(out=True, into=True)


async def _return(world: World, unreachable: bool) -> None:
    if not unreachable:
        await world.broker.start()
        return
    for link in (world.engine_link, world.worker_link):
        link.reset()
        link.heal()


def _first_after(log: tuple[evidence.Logged, ...], pid: int, moment: int) -> int:
    """When this process first began a task after that; far away where it never did."""
    return min(
        (line.time for line in log if line.begins and line.pid == pid and line.time > moment),
        default=moment * 2,
    )


async def _begun(world: World, tasks: int) -> None:
    while len({line.index for line in evidence.read_log(world.log)}) < tasks:  # noqa: ASYNC110  # a file has no event
        await asyncio.sleep(0.02)
