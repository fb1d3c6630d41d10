"""Workers without processes: the port as the engine's tests need it, in memory and by a clock that is handed in.

Nothing happens by itself: at each call the state follows from what was asked and from how late it is. A worker is
ready ``start_delay`` after it was asked for and gone ``drain_delay`` after it was drained.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from jobrun_operator.api import JobRun
from jobrun_operator.engine.ports import WorkersState
from jobrun_operator.errors import JobRunError


@dataclass(eq=False)
class _Worker:
    template: str
    ready_at: float
    gone_at: float | None = None

    def is_ready(self, now: float) -> bool:
        return self.gone_at is None and now >= self.ready_at


@dataclass
class _Pool:
    desired: int = 0
    template: str = ""
    removed: bool = False
    workers: list[_Worker] = field(default_factory=list)


class MemoryWorkers:
    """Implements ``jobrun_operator.engine.ports.Workers``. Delays are in seconds of ``clock``."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        start_delay: float = 0.0,
        drain_delay: float = 0.0,
        max_workers: int = 1000,
    ) -> None:
        self._clock = clock
        self._start_delay = start_delay
        self._drain_delay = drain_delay
        self._max_workers = max_workers
        self._pools: dict[str, _Pool] = {}
        self.asked: list[tuple[str, int]] = []
        """Every call of ``scale``: uid and replicas."""
        self.fault: JobRunError | None = None
        """Where set, every call of the port raises it."""

    async def scale(self, run: JobRun, replicas: int) -> None:
        self._raise_fault()
        self.asked.append((run.uid, replicas))
        pool = self._pools.setdefault(run.uid, _Pool())
        pool.desired, pool.removed = replicas, False
        pool.template = run.spec.worker.model_dump_json() + run.spec.retry.model_dump_json()
        self._advance(run.uid)

    async def observe(self, uid: str) -> WorkersState:
        self._raise_fault()
        pool = self._advance(uid)
        if pool is None:
            return WorkersState()
        now = self._clock()
        ready = sum(worker.is_ready(now) for worker in pool.workers)
        return WorkersState(desired=pool.desired, running=len(pool.workers), ready=ready)

    async def remove(self, uid: str) -> None:
        self._raise_fault()
        if pool := self._pools.get(uid):
            pool.desired, pool.removed = 0, True
            self._advance(uid)

    def kill(self, uid: str) -> None:
        """The oldest worker of the run is gone at once; its replacement starts."""
        del self._pools[uid].workers[0]
        self._advance(uid)

    def _raise_fault(self) -> None:
        if self.fault is not None:
            raise self.fault

    def _advance(self, uid: str) -> _Pool | None:
        """The state that ``uid`` is in by now; None for a run without one."""
        pool = self._pools.get(uid)
        if pool is None:
            return None
        now = self._clock()
        while self._step(pool, now):
            pass
        if pool.removed and not pool.workers:
            del self._pools[uid]
        return pool

    def _step(self, pool: _Pool, now: float) -> bool:
        """One change; False where none is due."""
        target = min(pool.desired, self._max_workers)
        active = [worker for worker in pool.workers if worker.gone_at is None]
        old = [worker for worker in active if worker.template != pool.template]
        current = [worker for worker in active if worker.template == pool.template]
        replacing = 1 if target and old else 0
        keep = target if all(worker.is_ready(now) for worker in current) else target + replacing
        gone = [worker for worker in pool.workers if worker.gone_at is not None and worker.gone_at <= now]
        if gone:
            pool.workers.remove(gone[0])
        elif len(active) > keep:
            (old or current)[-1].gone_at = now + self._drain_delay
        elif len(active) < target + replacing:
            pool.workers.append(_Worker(pool.template, now + self._start_delay))
        else:
            return False
        return True
