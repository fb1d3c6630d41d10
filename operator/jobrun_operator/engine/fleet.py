"""All runs of an installation: an engine for each that goes on, clean-up for those that have ended, and the sweep.

Whoever learns of a run (a watch, a list) tells the fleet; the fleet compares by uid and keeps what is newer. One that
can't be accepted as it is written is told too: what had begun of it is ended, and freed in its time. The fleet lists
for itself as well, since a watch may have missed a deletion: what the API does not list, and a live look confirms to be
gone, is forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from jobrun_operator.api import JobRun, Phase
from jobrun_operator.core import cleanup, sweep
from jobrun_operator.core.lifecycle import Fault
from jobrun_operator.core.sweep import OwnedStreams, Suspects
from jobrun_operator.engine.pace import Pace
from jobrun_operator.engine.ports import RunRef
from jobrun_operator.engine.run import EngineSettings, Ports, RunEngine, is_newer
from jobrun_operator.errors import JobRunError

log = logging.getLogger(__name__)

_CLEANUP_SECONDS = 5.0
"""Between two looks for what is due after runs have ended."""

_FIRST_RESTART, _LONGEST_RESTART = 1.0, 60.0
"""Seconds before an engine that failed for a reason of its own is started again."""


class Runs(Protocol):
    """The resources themselves."""

    def list(self) -> AsyncIterator[JobRun]:
        """All runs of the watched namespaces, page by page, as they are stored now; one that can't be accepted as it is
        written is not among them, and the fleet is told of it meanwhile."""
        ...

    async def exists(self, run: RunRef) -> bool:
        """Whether a live look finds this run, under this uid. Raises a TemporaryError where it can't tell."""
        ...

    async def delete(self, run: JobRun) -> None:
        """Delete this run, and no other of its name; one that is gone is fine."""
        ...


class Ownership(Protocol):
    async def owned(self) -> Collection[OwnedStreams]:
        """All streams of this installation, whether their run still exists or not."""
        ...


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Seconds; ``namespaces`` None: all of the cluster."""

    relist_seconds: float = 60.0
    namespaces: frozenset[str] | None = None
    sweep_age_seconds: float = sweep.LEAST_AGE.total_seconds()
    """Streams that are younger are never swept."""


@dataclass
class _Member:
    """A run and who takes care of it."""

    run: JobRun
    engine: RunEngine
    shown: float
    """When it was last told of, on the loop's clock."""
    fault: Fault | None = None
    """Why it can't be accepted as it is written."""
    task: asyncio.Task[None] | None = None
    freed: bool = False

    @property
    def at_rest(self) -> bool:
        """The run has ended, and its engine with it: one that is ``done`` may still have a report to make, and stops
        listening for its run after that."""
        return self.task is not None and self.task.done()

    @property
    def has_ended(self) -> bool:
        phase = self.engine.run.status.phase
        return phase is not None and phase.is_final

    @property
    def is_edited(self) -> bool:
        """Since what its status is about."""
        run = self.engine.run
        return (run.status.observed_generation or 0) != run.metadata.generation


class Fleet:
    """``main`` runs until cancelled; ``tell`` and ``forget`` may be called at any time."""

    def __init__(
        self, ports: Ports, runs: Runs, ownership: Ownership, engine: EngineSettings, settings: FleetSettings
    ) -> None:
        self._ports = ports
        self._runs = runs
        self._ownership = ownership
        self._engine_settings = engine
        self._pace = Pace()
        self._settings = settings
        self._members: dict[str, _Member] = {}
        self._suspects = Suspects({})
        self._relist = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self.beat = 0.0
        """When the fleet's own loop last came around, on the loop's clock: what liveness looks at."""

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[JobRun]:
        """The runs that are known, as they are known."""
        return iter([member.engine.run for member in self._members.values()])

    def tell(self, run: JobRun) -> None:
        """This run exists, and looks like this."""
        member = self._members.get(run.uid)
        if member is None:
            self._start(self._enrol(run))
            return
        member.shown = _clock()
        if is_newer(run, member.engine.run):
            member.run, member.fault = run, None
            member.engine.update(run)
        if member.at_rest and member.is_edited:
            self._start_again(member)  # for a status that says so

    def forget(self, uid: str) -> None:
        """This run was deleted: its engine ends; its streams are freed, now or by the sweep."""
        member = self._members.pop(uid, None)
        if member is not None:
            if member.task is not None:
                member.task.cancel()
            freeing = asyncio.create_task(self._free_forgotten(member), name=f"free {uid}")
            self._background.add(freeing)
            freeing.add_done_callback(self._background.discard)

    def refuse(self, run: JobRun, fault: Fault) -> None:
        """This run exists, and can't go on as it is written; where nothing better is known of it, it looks like this.
        May be called for the same one again and again."""
        member = self._members.get(run.uid) or self._enrol(run)
        member.shown, member.fault = _clock(), fault
        member.engine.fail(fault)
        if member.task is None:
            self._start(member)

    def relist(self) -> None:
        """List soon: a watch was cut, or the API was away."""
        self._relist.set()

    async def main(self) -> None:
        """The fleet's own loop: list, clean up, sweep."""
        loop = asyncio.get_running_loop()
        next_list = loop.time()
        try:
            while True:
                self._alive()
                if self._relist.is_set() or loop.time() >= next_list:
                    self._relist.clear()
                    # A list that failed says nothing about what exists, so nothing is swept after it.
                    if await self._guarded("comparing with the API", self._compare()):
                        await self._guarded("sweeping", self._sweep())
                    next_list = loop.time() + self._settings.relist_seconds
                await self._guarded("looking for dead letters to retry", self._retry())
                await self._clean_up()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(_CLEANUP_SECONDS, self._settings.relist_seconds)):
                        await self._relist.wait()
        finally:
            tasks = [member.task for member in self._members.values() if member.task] + list(self._background)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _alive(self) -> None:
        self.beat = _clock()

    # --- each run ---------------------------------------------------------------------------------------

    def _enrol(self, run: JobRun) -> _Member:
        member = self._members[run.uid] = _Member(run, self._engine(run), _clock())
        return member

    def _engine(self, run: JobRun) -> RunEngine:
        return RunEngine(run, self._ports, self._engine_settings, self._pace)

    def _renew(self, member: _Member) -> None:
        member.engine = self._engine(member.engine.run)
        if member.fault is not None:
            member.engine.fail(member.fault)

    def _start_again(self, member: _Member) -> None:
        self._renew(member)
        self._start(member)

    def _start(self, member: _Member) -> None:
        run = member.run
        member.task = asyncio.create_task(self._drive(member), name=f"run {run.namespace}/{run.name}")

    async def _drive(self, member: _Member) -> None:
        """The engine of one run to its end. Another one follows it, later, where it fails for a reason of its own, and
        where the run was edited as it ended: for a status that says so."""
        wait = _FIRST_RESTART
        while True:
            try:
                await member.engine.main()
                if not (member.has_ended and member.is_edited):
                    return
            except Exception:
                # A fault of ours in one run must not stop the others; nothing but the log can tell of it.
                log.exception(
                    "%s/%s: the engine failed; again in %g s", member.run.namespace, member.run.name, wait
                )
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_RESTART)
            self._renew(member)

    async def _free(self, uid: str) -> None:
        # Workers first: without them nothing is taken whose place is about to go.
        await self._ports.workers.remove(uid)
        await self._ports.streams.delete(uid)

    async def _free_gone(self, run: RunRef) -> None:
        """Of a run that does not exist any more. Its streams last: where the rest fails, the sweep finds them."""
        await self._ports.workers.remove(run.uid)
        where = (run.namespace, run.name)
        if not any(
            (one.engine.ref.namespace, one.engine.ref.name) == where for one in self._members.values()
        ):
            await self._ports.live.forget(run)
        await self._ports.streams.delete(run.uid)

    async def _free_forgotten(self, member: _Member) -> None:
        if member.task is not None:
            await asyncio.wait({member.task})
        try:
            await self._free_gone(member.engine.ref)
        except JobRunError as error:
            log.warning("%s: its streams are left to the sweep: %s", member.engine.ref, error)

    # --- the fleet's own loop ---------------------------------------------------------------------------

    async def _compare(self) -> None:
        """What the API holds now against what is known: by uid, whatever events said."""
        began = _clock()
        async for run in self._runs.list():
            self._alive()
            self.tell(run)
        for uid, member in list(self._members.items()):
            if member.shown < began and not await self._runs.exists(member.engine.ref):
                self.forget(uid)

    async def _retry(self) -> None:
        """Runs that are complete go on where some of their dead letters are to be tried once more."""
        ended = [one for one in self._members.values() if _may_retry(one)]
        if not ended:
            return
        wanted = await self._ports.retries.wanted()
        for member in ended:
            if member.run.uid in wanted and _may_retry(member):
                self._start_again(member)

    async def _clean_up(self) -> None:
        now = self._ports.now()
        for uid, member in list(self._members.items()):
            run = member.engine.run
            if not member.at_rest:
                continue
            what = cleanup.due(run, freed=member.freed, now=now)
            if what.free and await self._guarded(f"{member.engine.ref}: freeing it", self._free(uid)):
                member.freed = True
                log.info("%s/%s: freed its streams and workers", run.namespace, run.name)
            deleting = what.delete and self._guarded(
                f"{member.engine.ref}: deleting it", self._runs.delete(run)
            )
            if deleting and await deleting:
                log.info("%s/%s: deleted, ttlSecondsAfterFinished has passed", run.namespace, run.name)
                self.forget(uid)
            self._alive()

    async def _sweep(self) -> None:
        doubtful = sweep.candidates(
            await self._ownership.owned(),
            known=self._members.keys(),
            namespaces=self._settings.namespaces,
            now=self._ports.now(),
            least_age=timedelta(seconds=self._settings.sweep_age_seconds),
        )
        refs = {one.uid: RunRef(one.namespace, one.name, one.uid) for one in doubtful}
        answers = {}
        for uid, ref in refs.items():
            answers[uid] = await self._runs.exists(ref)
            self._alive()
        self._suspects, condemned = sweep.judge(self._suspects, answers)
        for uid in condemned:
            if uid not in self._members:
                log.info("%s: sweeping what run %s has left, which does not exist any more", refs[uid], uid)
                await self._guarded(f"{refs[uid]}: sweeping it", self._free_gone(refs[uid]))

    async def _guarded(self, what: str, work: Awaitable[None]) -> bool:
        """Whether it was done; what can't be done now is done at a later turn, and the loop goes on."""
        try:
            await work
        except JobRunError as error:
            log.warning("%s: %s; trying again later", what, error)
            return False
        except Exception:
            # A fault of ours must not stop what is done for all other runs; nothing but the log can tell of it.
            log.exception("%s failed", what)
            return False
        return True


def _may_retry(member: _Member) -> bool:
    if member.fault is not None:
        return False
    status = member.engine.run.status
    failed = status.tasks is not None and status.tasks.failed > 0
    return failed and status.phase == Phase.COMPLETED and member.at_rest and not member.freed


def _clock() -> float:
    return asyncio.get_running_loop().time()
