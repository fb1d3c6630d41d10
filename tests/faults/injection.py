"""Does the faults of a schedule to a world, each at its time, and undoes each at its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter

from faults.proxy import Link
from faults.schedule import POWER_LOST, Fault, Schedule
from faults.strace import can_trace
from faults.world import World

_SILENT_SECONDS = 1.0
"""After which who says nothing is killed all the same."""


class Injection:
    def __init__(self, world: World, *, sync_always: bool) -> None:
        self._world = world
        self._sync_always = sync_always
        self._broker_free = asyncio.Lock()
        """Faults of the broker that overlap come one after the other: it can't be stopped while it is being started."""
        self._began = 0.0
        self.done: Counter[str] = Counter()
        """Kinds of the faults that were done, and how often."""
        self.skipped: Counter[str] = Counter()
        """Those that this machine can't do, or that found nobody to hit."""

    async def run(self, schedule: Schedule) -> None:
        """Return when all are over. The clock starts now."""
        self._began = time.time()
        async with asyncio.TaskGroup() as group:
            for fault in schedule.faults:
                group.create_task(self._at(fault, asyncio.get_running_loop().time() + fault.at))

    async def _at(self, fault: Fault, when: float) -> None:
        await asyncio.sleep(max(0.0, when - asyncio.get_running_loop().time()))
        happened = await self._do(fault)
        (self.done if happened else self.skipped)[fault.kind] += 1

    async def _do(self, fault: Fault) -> bool:
        target, _, what = fault.kind.rpartition("-")
        if target == "worker":
            return await self._worker(what, fault)
        if target == "engine" and what != "clock":
            return await self._engine(what, fault)
        if fault.kind == POWER_LOST:
            async with self._broker_free:
                return await self._power(fault)
        if target == "broker":
            async with self._broker_free:
                return await self._broker(what, fault)
        if target == "disk":
            return await self._disk(what, fault)
        if what == "clock":
            return await self._clock(target, fault)
        link = self._world.engine_link if fault.kind.startswith("engine") else self._world.worker_link
        return await self._link(fault.kind.split("-link-")[1], link, fault)

    async def _worker(self, what: str, fault: Fault) -> bool:
        if what == "clock":
            return await self._clock("worker", fault)
        workers = self._world.workers()
        if not workers:
            return False
        if what == "torn":
            await self._tear(self._world.worker_link, fault)
            for worker in self._world.workers():
                worker.send(signal.SIGKILL)
            self._world.worker_link.reset()
            self._world.worker_link.heal()
            return True
        victim = workers[fault.which % len(workers)]
        if what == "killed":
            victim.send(signal.SIGKILL)
        elif what == "drained":
            victim.send(signal.SIGTERM)
        else:
            victim.send(signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            victim.send(signal.SIGCONT)
        return True

    async def _engine(self, what: str, fault: Fault) -> bool:
        if what == "doubled":
            second = await self._world.start_engine("second-engine")
            await asyncio.sleep(fault.seconds)
            with contextlib.suppress(ProcessLookupError):  # it has seen the run to its end
                second.kill()
            await second.wait()
            return True
        engine = self._world.engine
        if engine is None or engine.returncode is not None:
            return False
        if what in ("killed", "torn"):
            link = self._world.engine_link
            if what == "torn":
                await self._tear(link, fault)
            self._world.engine_wanted.clear()
            if engine.returncode is None:
                engine.send_signal(signal.SIGKILL)
            if what == "torn":
                link.reset()
                link.heal()
            await asyncio.sleep(fault.seconds)
            self._world.engine_wanted.set()
        else:
            engine.send_signal(signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            if engine.returncode is None:
                engine.send_signal(signal.SIGCONT)
        return True

    @staticmethod
    async def _tear(link: Link, fault: Fault) -> None:
        """Return when something was passed on in part, or nobody says anything."""
        link.tear(fault.which % 100 / 100)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SILENT_SECONDS):
                await link.torn.wait()

    async def _broker(self, what: str, fault: Fault) -> bool:
        broker = self._world.broker
        if what == "frozen":
            os.kill(broker.pid, signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            os.kill(broker.pid, signal.SIGCONT)
            return True
        await (broker.kill() if what == "killed" else broker.stop())
        await asyncio.sleep(fault.seconds)
        await broker.start()
        return True

    async def _power(self, fault: Fault) -> bool:
        if not can_trace():
            return False
        # Where nothing is synced the kernel has written back what is older than a second, and the streams themselves.
        written_back = 0.0 if self._sync_always else max(self._began, time.time() - 1.0)
        await self._world.cut_power(written_back=written_back, seconds=fault.seconds)
        return True

    async def _disk(self, what: str, fault: Fault) -> bool:
        world = self._world
        if what == "slow":
            if not can_trace():
                return False
            async with self._broker_free:
                await asyncio.to_thread(world.slow_disk.start, world.broker.pid, fault.amount)
            await asyncio.sleep(fault.seconds)
            await asyncio.to_thread(world.slow_disk.stop)
            return True
        if world.disk is None or not world.disk.is_small:
            return False
        await asyncio.to_thread(world.disk.fill)
        await asyncio.sleep(fault.seconds)
        world.disk.free()
        # A stream that could not be written refuses everything until the server is started again, also with room.
        async with self._broker_free:
            await world.broker.restart()
        return True

    async def _clock(self, who: str, fault: Fault) -> bool:
        clock = self._world.clock(who)
        clock.write_text(str(fault.amount))
        await asyncio.sleep(fault.seconds)
        clock.unlink()
        return True

    async def _link(self, what: str, link: Link, fault: Fault) -> bool:
        if what == "cut":
            link.cut()
        elif what == "slow":
            link.slow(fault.amount)
        else:
            link.hold(out=what != "one-way-in", into=what != "one-way-out")
        await asyncio.sleep(fault.seconds)
        if what == "lost":
            link.reset()
        link.heal()
        return True
