"""A worker of several processes (``worker.processes``): this one starts them, replaces what ends, and speaks for all.

Each process is a worker like any other, with a connection of its own; what they do is up to the broker. From outside
there is one worker: one SIGTERM, one exit status, one port with probes and the sums of their metrics.

A process that ends by itself after it was ready is replaced, with a back-off where they keep ending quickly. One that
ends before it was ever ready is no accident of a task: the worker drains and ends as it did, so that whoever started
the worker sees why.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest

from jobrun_worker.ends import QUICK_SECONDS, UNUSABLE, backoff, describe_exit, exit_status
from jobrun_worker.health import Health
from jobrun_worker.member import Member
from jobrun_worker.metrics import WorkerMetrics
from jobrun_worker.settings import ENV_PREFIX, WorkerSettings
from jobrun_worker.vitals import Totals, Vitals, families

log = logging.getLogger(__name__)

SILENT_SECONDS = 10.0
"""A process that has told nothing for so long has a loop that stands still."""
STARTING_SECONDS = 120.0
"""For a process to come up, its handler's imports included."""
KILL_MARGIN_SECONDS = 3.0
"""Beyond its grace period, for a process to abandon what it holds by itself."""

_OWN = frozenset(f"{ENV_PREFIX}{name}" for name in ("PROCESSES", "PORT", "HOST", "WORKER"))
"""Settings that are not those of each process."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One process at a look."""

    name: str
    age: float
    """Seconds since its start."""
    silent: float
    """Seconds since it told something."""
    vitals: Vitals | None
    """None: nothing yet."""
    first: bool
    """Whether it is the first in its place."""


def alive(processes: Sequence[Seen]) -> str:
    """Empty, or why the worker should be replaced; also until each place has had a process that came up."""
    for one in processes:
        if one.vitals is None and (one.first or one.age > STARTING_SECONDS):
            return f"{one.name} has not come up for {one.age:.0f} s"
        if one.vitals is not None and one.silent > SILENT_SECONDS:
            return f"{one.name} has told nothing for {one.silent:.0f} s"
        if one.vitals is not None and one.vitals.trouble:
            return f"{one.name}: {one.vitals.trouble}"
    return ""


def ready(processes: Sequence[Seen]) -> str:
    """Empty where a process takes tasks, or why none does."""
    heard = [one for one in processes if one.vitals is not None and one.silent <= SILENT_SECONDS]
    reasons = [
        f"{one.name}: {one.vitals.unready}" if one.vitals.unready else "" for one in heard if one.vitals
    ]
    return "" if "" in reasons else next(iter(reasons), "no process has come up")


class Supervisor:
    def __init__(self, settings: WorkerSettings, environ: Mapping[str, str], command: Sequence[str]) -> None:
        """``command`` starts a process, with ``environ`` but for what is its own."""
        self._settings = settings
        self._environ = {name: value for name, value in environ.items() if name not in _OWN}
        self._command = command
        self._metrics = WorkerMetrics()
        self._ended = Totals()
        self._members: dict[int, Member] = {}
        """By their place."""
        self._begun: set[int] = set()
        """Places whose first process has ended; it had come up."""
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._status = 0
        self._failure = ""

    def on_signal(self, number: signal.Signals) -> None:
        """SIGTERM or SIGINT: the first drains, another ends at once; the processes know by themselves."""
        if self._stop.is_set():
            self._status = 128 + number
            self._send(number)
            self._loop.call_later(1.0, self._send, signal.SIGKILL)
        else:
            self._drain(number.name)

    async def run(self) -> int:
        """Until all processes have ended; returns the exit status of the worker."""
        port = self._settings.port
        health = Health(self._alive, self._ready, self._page, self._settings.host, port) if port else None
        if health is not None:
            try:
                await health.start()
            except OSError as error:
                log.error("can't serve /healthz on %s:%d: %s", self._settings.host, port, error)
                return 1
        try:
            async with asyncio.TaskGroup() as group:
                for place in range(1, self._settings.processes + 1):
                    group.create_task(self._fill(place))
        finally:
            if health is not None:
                await health.stop()
        if self._status == UNUSABLE:
            sys.stderr.write(f"jobrun worker: {self._failure}\n")
        elif self._failure:
            log.error("%s", self._failure)
        return self._status

    def _drain(self, why: str) -> None:
        if not self._stop.is_set():
            log.info("draining %d processes: %s", len(self._members), why)
            self._stop.set()
            self._send(signal.SIGTERM)
            self._loop.call_later(
                self._settings.grace_seconds + KILL_MARGIN_SECONDS, self._send, signal.SIGKILL
            )

    def _send(self, number: signal.Signals) -> None:
        for member in self._members.values():
            member.send(number)

    # Processes

    async def _fill(self, place: int) -> None:
        """Have a process in this place until the worker drains."""
        name = f"{self._settings.worker}-{place}"
        environ = {**self._environ, f"{ENV_PREFIX}WORKER": name}
        quick_ends = 0
        while not self._stop.is_set():
            try:
                member = await Member.start(name, self._command, environ)
            except OSError as error:
                self._fail(1, f"{name} can't be started: {error}")
                return
            code = await self._live(place, member)
            if self._stop.is_set():
                self._settle(code)
                return
            vitals = member.vitals or Vitals()
            what = f"{name} ended with {describe_exit(code)}" + f": {vitals.failure}" * bool(vitals.failure)
            if code == UNUSABLE:
                self._fail(code, vitals.failure or what)
                return
            if not vitals.came_up:
                self._fail(exit_status(code) or 1, f"{what} before it was ready")
                return
            quick_ends = quick_ends + 1 if self._loop.time() - member.started < QUICK_SECONDS else 0
            pause = backoff(quick_ends)
            self._metrics.replaced.inc()
            log.warning("%s; another takes its place in %g s", what, pause)
            await self._sleep(pause)

    async def _live(self, place: int, member: Member) -> int:
        self._members[place] = member
        if self._stop.is_set():
            member.send(signal.SIGTERM)
        try:
            return await member.wait()
        finally:
            del self._members[place]
            self._begun.add(place)
            if member.vitals is not None:
                self._ended.add_ended(member.vitals.families)

    def _settle(self, code: int) -> None:
        """Of a process that was told to end: one that had not come up yet ends by the signal itself."""
        if code not in (0, -signal.SIGTERM) and not self._status:
            self._status = exit_status(code)

    def _fail(self, status: int, failure: str) -> None:
        if not self._failure:
            self._status, self._failure = status, failure
        self._drain(failure)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    # Pages

    def _seen(self) -> list[Seen]:
        now = self._loop.time()
        return [
            Seen(one.name, now - one.started, now - one.heard, one.vitals, place not in self._begun)
            for place, one in sorted(self._members.items())
        ]

    def _alive(self) -> str:
        return alive(self._seen())

    def _ready(self) -> str:
        return "draining" if self._stop.is_set() else ready(self._seen())

    def _page(self) -> bytes:
        totals = Totals()
        totals.add(families(self._metrics.registry))
        totals.add(self._ended.families())
        for member in self._members.values():
            if member.vitals is not None:
                totals.add(member.vitals.families)
        registry = CollectorRegistry()
        registry.register(totals)
        return generate_latest(registry)
