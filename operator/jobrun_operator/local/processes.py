"""The workers of the local mode: a set of processes a run, behind the same port as a Deployment.

``scale`` only notes what is wanted; every event (a request, a worker that got ready or ended, a back-off
that is over) compares that with what runs and takes the next step, so that any order of events ends in the
same place. Missing workers start; surplus ones drain, newest first; ones of older settings are replaced one
by one, each drained when its successor is ready. A worker that ends by itself is replaced at once, and with
a back-off of up to 10 s where it keeps ending quickly. Exit code 2 says that the handler can't be called:
no further worker is started with these settings, and ``worker_error`` tells why.

A worker is ready when its /readyz says so, asked over a loop-back port picked for it: that is the probe of
a pod as well, needs nothing beside the worker's contract, and also sees a worker that is no longer ready,
which a line in its log would not. Should another program take the port first, the worker ends and its
successor gets another.

Each worker carries the keeper's marker with its name: after its end, what its handlers left running is
killed.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobrun_operator.api import JobRun
from jobrun_operator.engine.ports import WorkersState
from jobrun_operator.local.child import prune_logs
from jobrun_operator.local.keeper import Keeper
from jobrun_operator.local.worker import WorkerExit, WorkerProcess
from jobrun_worker.ends import QUICK_SECONDS, UNUSABLE, backoff, describe_exit
from jobrun_worker.settings import WorkerSettings

COMMAND = (sys.executable, "-m", "jobrun_worker")
KILL_MARGIN_SECONDS = 5.0
"""A draining worker is killed so long after its grace period."""


@dataclass
class _Vacancy:
    """A place whose worker ended by itself."""

    not_before: float
    quick_ends: int


@dataclass
class _Pool:
    """The workers of one run."""

    desired: int
    settings: WorkerSettings
    number: int
    """Of the last worker that was started; names never repeat."""
    workers: list[WorkerProcess] = field(default_factory=list)
    vacancies: list[_Vacancy] = field(default_factory=list)
    error: str = ""
    """Why no worker can work with these settings."""
    trouble: str = ""
    """Why a worker had to wait for its start: the last one ended quickly. Cleared when one gets ready."""
    removed: bool = False


class ProcessWorkers:
    """Implements ``jobrun_operator.engine.ports.Workers``."""

    def __init__(
        self,
        settings_for: Callable[[JobRun], WorkerSettings],
        *,
        keeper: Keeper,
        logs: Path,
        cwd: Path,
        max_workers: int,
        command: Sequence[str] = COMMAND,
        env: Mapping[str, str] | None = None,
        on_exit: Callable[[WorkerExit], None] = lambda end: None,
    ) -> None:
        """``cwd``: where handlers are imported from; ``on_exit`` hears of each worker that ended unasked."""
        self._settings_for = settings_for
        self._keeper = keeper
        self._logs = logs
        self._cwd = cwd
        self._max_workers = max_workers
        self._command = command
        self._env = dict(env or {})
        self._on_exit = on_exit
        self._pools: dict[str, _Pool] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None
        self._closing = False
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def scale(self, run: JobRun, replicas: int) -> None:
        self._raise_fault()
        uid = run.metadata.uid
        settings = self._settings_for(run)
        pool = self._pools.get(uid)
        if pool is None:
            pool = self._pools[uid] = _Pool(replicas, settings, self._last_number(settings.run))
        if settings != pool.settings:
            pool.settings = settings
            pool.error = pool.trouble = ""
            pool.vacancies.clear()
        pool.desired = replicas
        pool.removed = False
        self._step(uid)

    async def observe(self, uid: str) -> WorkersState:
        self._raise_fault()
        pool = self._pools.get(uid)
        if pool is None:
            return WorkersState()
        ready = sum(worker.ready and not worker.draining for worker in pool.workers)
        trouble = (pool.error or pool.trouble).rpartition("\n")[2]
        return WorkersState(desired=pool.desired, running=len(pool.workers), ready=ready, error=trouble)

    async def remove(self, uid: str) -> None:
        """Its workers drain; the run is forgotten when the last one has ended."""
        if pool := self._pools.get(uid):
            pool.desired = 0
            pool.removed = True
            self._step(uid)

    def worker_error(self, uid: str) -> str | None:
        """Why no worker of this run can work with the settings it has, in full; None where none said so."""
        pool = self._pools.get(uid)
        return (pool.error if pool else "") or None

    async def aclose(self, within: float = 10.0) -> None:
        """SIGTERM to all workers, SIGKILL after ``within`` seconds; called again it can only get faster."""
        self._closing = True
        for pool in self._pools.values():
            pool.desired = 0
            for worker in pool.workers:
                worker.drain(within)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _step(self, uid: str) -> None:
        """Takes every step that is due now; events bring the next ones."""
        pool = self._pools.get(uid)
        if pool is None:  # a back-off that outlived its run
            return
        now = asyncio.get_running_loop().time()
        target = 0 if self._closing else min(pool.desired, self._max_workers)
        active = [worker for worker in pool.workers if not worker.draining]
        old = [worker for worker in active if worker.settings != pool.settings]
        current = [worker for worker in active if worker.settings == pool.settings]
        replacing = 1 if target and old else 0

        # While a successor gets ready, the one that it replaces works on.
        keep = target if all(worker.ready for worker in current) else target + replacing
        grace = pool.settings.grace_seconds + KILL_MARGIN_SECONDS
        for worker in (old[::-1] + current[::-1])[: max(0, len(active) - keep)]:
            worker.drain(grace)

        places = 0 if pool.error else max(0, target + replacing - len(active))
        del pool.vacancies[places:]
        due = [vacancy for vacancy in pool.vacancies if vacancy.not_before <= now]
        for quick_ends in [vacancy.quick_ends for vacancy in due] + [0] * (places - len(pool.vacancies)):
            self._launch(uid, pool, quick_ends)
        pool.vacancies = [vacancy for vacancy in pool.vacancies if vacancy.not_before > now]
        if pool.removed and not pool.workers:
            del self._pools[uid]

    def _launch(self, uid: str, pool: _Pool, quick_ends: int) -> None:
        pool.number += 1
        worker = WorkerProcess(f"{pool.settings.run}-{pool.number}", pool.settings, self._logs)
        pool.workers.append(worker)
        self._spawn(self._live(uid, pool, worker, quick_ends))

    async def _live(self, uid: str, pool: _Pool, worker: WorkerProcess, quick_ends: int) -> None:
        """A worker from its start to its end, and what follows from that."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        part = f"{uid}/{worker.name}"
        code = await worker.run(
            self._command,
            env=self._env | self._keeper.environment(part),
            cwd=self._cwd,
            on_ready=lambda: self._ready(uid, pool, worker),
        )
        await self._keeper.clear(part)
        pool.workers.remove(worker)
        if not worker.draining:
            quick_ends = quick_ends + 1 if loop.time() - started < QUICK_SECONDS else 0
            self._ended_unasked(uid, pool, worker, code, quick_ends)
        prune_logs(self._logs, {one.log for every in self._pools.values() for one in every.workers})
        self._step(uid)

    def _ready(self, uid: str, pool: _Pool, worker: WorkerProcess) -> None:
        if worker.ready and worker.settings == pool.settings:
            pool.trouble = ""
        self._step(uid)

    def _ended_unasked(
        self, uid: str, pool: _Pool, worker: WorkerProcess, code: int, quick_ends: int
    ) -> None:
        loop = asyncio.get_running_loop()
        delay = backoff(quick_ends)
        pool.vacancies.append(_Vacancy(loop.time() + delay, quick_ends))
        loop.call_at(loop.time() + delay + 0.01, self._step, uid)
        end = WorkerExit(worker.name, code, worker.log, worker.last_lines())
        if worker.settings == pool.settings:
            said = end.output.rpartition("\n")[2]
            what = f"worker {worker.name} ended with {describe_exit(code)}"
            if code == UNUSABLE:
                pool.error = end.output or what
            elif delay:
                pool.trouble = f"{what}: {said}" if said else what
        self._on_exit(end)

    def _spawn(self, life: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(life)
        self._tasks.add(task)
        task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = fault

    def _raise_fault(self) -> None:
        """What went wrong beside the calls must not get lost: the next call raises it."""
        if self._fault is not None:
            raise self._fault

    def _last_number(self, run: str) -> int:
        """The highest number that an earlier start left a log of."""
        numbers = (re.fullmatch(rf"{re.escape(run)}-(\d+)\.log", path.name) for path in self._logs.iterdir())
        return max((int(match[1]) for match in numbers if match), default=0)
