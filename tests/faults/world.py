"""One run with everything that it needs, each part a process of its own, and a network between them that can be hurt.

    engine --- engine link ---+
                              +--- broker (nats-server, its store on a disk of its own)
    workers -- worker link ---+

Who starts processes here is what Kubernetes is to the operator: an engine that ends before the run has is started
again, and so many workers run as the engine has asked for. A broker is started again only where the fault says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from faults import handlers
from faults.disk import SlowDisk, SmallDisk
from faults.engine import ACK_WAIT_SECONDS, read_text, replace_text
from faults.powerloss import disk_after
from faults.proxy import Link
from faults.strace import Tracer, calls
from jobrun_operator.api import JobRun
from jobrun_operator.core.worker_settings import worker_settings
from jobrun_operator.local.keeper import Keeper
from jobrun_operator.local.processes import ProcessWorkers
from jobrun_operator.local.store import RunStore
from support.nats_server import NatsServer
from support.process_marks import VARIABLE, Process, kill_marked, marked

_TESTS = Path(__file__).parent.parent
_CLOCK = Path(__file__).with_name("clock")
_AGAIN_SECONDS = 0.5
"""Before an engine that has ended too early is started again."""
_POLL_SECONDS = 0.05


class World:
    """``async with World(...)`` starts it; leaving ends all of it."""

    def __init__(
        self,
        folder: Path,
        spec: dict[str, Any],
        *,
        sync_always: bool,
        small_disk: bool,
        traced: bool = False,
    ) -> None:
        """``traced``: the broker's power can be cut, once."""
        self.folder = folder
        self.mark = os.urandom(8).hex()
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(handlers.__file__, folder / "handlers.py")
        self.store = RunStore(folder)
        document = {"apiVersion": "jobrun.dev/v1alpha1", "kind": "JobRun", "metadata": {"name": "faults"}}
        self.run = self.store.create(JobRun.from_wire(document | {"spec": spec}, local=True))
        self.disk = SmallDisk(folder / "disk") if small_disk else None
        place = self.disk.place if self.disk else folder / "disk"
        self.broker = NatsServer(
            place, jetstream="sync_interval: always" if sync_always else "", env={VARIABLE: self.mark}
        )
        self._tracer = Tracer(folder / "trace") if traced else None
        self.slow_disk = SlowDisk()
        self.engine_link, self.worker_link = Link(), Link()
        self.engine: asyncio.subprocess.Process | None = None
        self.engine_wanted = asyncio.Event()
        """Unset: it is down, and stays so."""
        self.finished = asyncio.Event()
        """The engine has seen the run to its end."""
        self._keeper: Keeper | None = None
        self._pool: ProcessWorkers | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # --- its parts --------------------------------------------------------------------------------------

    def workers(self) -> list[Process]:
        return [process for process in marked(self.mark) if process.is_worker]

    def processes(self) -> list[Process]:
        return marked(self.mark)

    def clock(self, who: str) -> Path:
        """The file that steps the clock of ``engine`` or of ``worker``."""
        return self.folder / f"{who}.clock"

    async def start_engine(self, name: str) -> asyncio.subprocess.Process:
        """Whoever starts one ends it."""
        with (self.folder / f"{name}.log").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "faults.engine", str(self.folder), self.engine_link.url),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | self._environment("engine"),
            )

    @property
    def log(self) -> Path:
        """What handlers have left."""
        return self.folder / "log"

    # --- life -------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self.broker.start()
            if self._tracer is not None:
                await asyncio.to_thread(self._tracer.attach, self.broker.pid)
            for link in (self.engine_link, self.worker_link):
                await link.start(lambda: self.broker.port)
            self._keeper = await Keeper.start()
            self._pool = ProcessWorkers(
                lambda run: worker_settings(
                    run, nats_url=self.worker_link.url, ack_wait_seconds=ACK_WAIT_SECONDS
                ),
                keeper=self._keeper,
                logs=self.folder / "logs",
                cwd=self.folder,
                max_workers=10,
                env=self._environment("worker"),
            )
            self.engine_wanted.set()
            self._spawn(self._keep_engine())
            self._spawn(self._keep_workers(self._pool))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    def trouble(self) -> str:
        """What went wrong with the world itself, and not in it."""
        failed = [task for task in self._tasks if task.done() and not task.cancelled() and task.exception()]
        return "; ".join(str(task.exception()) for task in failed)

    async def cut_power(self, *, written_back: float = 0.0, last_but: str = "", seconds: float = 0.0) -> None:
        """The broker's machine loses its power, and comes back ``seconds`` later with what was on its disk.

        ``written_back`` and ``last_but``: what the kernel has written by itself, as in ``disk_after``.
        """
        assert self._tracer is not None
        await self.broker.kill()
        await asyncio.to_thread(self._tracer.stop)
        await asyncio.gather(
            asyncio.sleep(seconds), asyncio.to_thread(self._lose, self._tracer, written_back, last_but)
        )
        await self.broker.start()

    def _lose(self, tracer: Tracer, written_back: float, last_but: str) -> None:
        with tracer.trace.open() as trace:
            disk = disk_after(calls(trace), self.broker.store, written_back=written_back, last_but=last_but)
        shutil.rmtree(self.broker.store)
        disk.write_to(self.broker.store)

    async def end_processes(self) -> None:
        """As on a node that is shut down: workers drain, and what ends by itself has the time to."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pool is not None:
            await self._pool.aclose(5.0)
        if self.engine is not None and self.engine.returncode is None:
            self.engine.kill()
            await self.engine.wait()
        await self.broker.stop()

    async def _close(self) -> None:
        try:
            self.slow_disk.stop()
            if self._tracer is not None:
                self._tracer.stop()
            for process in self.processes():
                process.send(signal.SIGCONT)
            await self.end_processes()
            for link in (self.engine_link, self.worker_link):
                await link.close()
        finally:
            with contextlib.suppress(Exception):
                await self.broker.kill()
            kill_marked(self.mark)
            if self._keeper is not None:
                await self._keeper.aclose()
            if self.disk is not None:
                self.disk.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _environment(self, who: str) -> dict[str, str]:
        return {
            "PYTHONPATH": os.pathsep.join([str(_CLOCK), str(_TESTS)]),
            "FAULTS_CLOCK": str(self.clock(who)),
            VARIABLE: self.mark,
        }

    async def _keep_engine(self) -> None:
        while not self.finished.is_set():
            await self.engine_wanted.wait()
            self.engine = await self.start_engine("engine")
            if await self.engine.wait() == 0:
                self.finished.set()
            elif self.engine_wanted.is_set():
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _keep_workers(self, pool: ProcessWorkers) -> None:
        """What a Deployment's controller does: the engine's word becomes processes, and their state its answer."""
        asked, told = "", ""
        while True:
            desired = read_text(self.folder / "desired")
            if desired and desired != asked:
                await pool.scale(self.run, int(desired))
                asked = desired
            state = await pool.observe(self.run.uid)
            observed = json.dumps([state.running, state.ready])
            if observed != told:
                replace_text(self.folder / "observed", observed)
                told = observed
            await asyncio.sleep(_POLL_SECONDS)
