"""A partner that is away for a while, under a run of the real engine and workers that are real but for their broker.

All in virtual time: what decides (pacing, breaker, holds, trials, retries) is the code itself; what is simulated is
the broker's store, the workers' processes, and the partner that every task calls.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jobrun_operator.engine.ports import Hold
from jobrun_worker import holding
from jobrun_worker.broker import Stored
from jobrun_worker.decisions import Again, Bury, Failed, RetryPolicy, after_run
from jobrun_worker.errors import WrongLastSequence
from jobrun_worker.gate import Gate
from jobrun_worker.hold import Hold as WorkerHold
from jobrun_worker.holding import HoldRecord, Wish
from jobrun_worker.pulses import Pulses
from jobrun_worker.shared_hold import SharedHold
from jobrun_worker.trial import Trial
from jobrun_worker.wire import (
    EXPECTED_LAST_SUBJECT_SEQUENCE,
    AttemptRecord,
    Names,
    Outcome,
    Pulse,
    format_time,
)
from support.engine_rig import UID, EngineRig
from support.memory_broker import MemoryBroker, Taken
from support.memory_holds import MemoryPulses

_ACROSS = 0.005
"""Seconds that a message takes to its hearer."""


def _now_ns() -> int:
    return int(asyncio.get_running_loop().time() * 1e9)


@dataclass
class Control:
    """The record of the run's holds: the engine's ``Holds`` and the worker's broker, over one store."""

    record: HoldRecord | None = None
    sequence: int = 0
    connected: bool = True
    raised: list[tuple[float, HoldRecord]] = field(default_factory=list)
    _hearers: list[Callable[[], None]] = field(default_factory=list)

    def _put(self, record: HoldRecord) -> None:
        self.record, self.sequence = record, self.sequence + 1
        loop = asyncio.get_running_loop()
        self.raised.append((loop.time(), record))
        for heard in self._hearers:
            loop.call_later(_ACROSS, heard)

    # as the engine sees it

    def listen(self, uid: str, changed: Callable[[], None]) -> None:
        self._hearers.append(changed)

    def forget(self, uid: str) -> None: ...

    async def read(self, uid: str) -> Hold | None:
        await asyncio.sleep(_ACROSS)
        left = self.record.left(_now_ns()) if self.record is not None else 0.0
        if self.record is None or left <= 0:
            return None
        return Hold(left, self.record.why, self.record.message, format_time(self.record.until_ns))

    async def hold(self, uid: str, seconds: float, wish: Wish) -> None:
        await asyncio.sleep(_ACROSS)
        new = holding.raised(self.record, _now_ns(), seconds, wish)
        if new is not None:
            self._put(new)

    # as a worker sees it

    async def subscribe(self, subject: str, callback: Callable[[Any], Any]) -> None:
        self._hearers.append(lambda: asyncio.ensure_future(callback(None)))

    async def last(self, stream: str, subject: str) -> Stored | None:
        await asyncio.sleep(_ACROSS)
        return Stored(self.sequence, {}, self.record.encode()) if self.record is not None else None

    async def now(self, stream: str) -> int:
        await asyncio.sleep(_ACROSS)
        return _now_ns()

    async def store(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        await asyncio.sleep(_ACROSS)
        if headers[EXPECTED_LAST_SUBJECT_SEQUENCE] != str(self.sequence):
            raise WrongLastSequence
        self._put(HoldRecord.decode(body))
        return self.sequence


class _Puller:
    """Of a worker here: whether it takes anything."""

    def __init__(self) -> None:
        self.blocked: set[str] = set()

    def block(self, reason: str) -> None:
        self.blocked.add(reason)

    def start(self, reason: str) -> None:
        self.blocked.discard(reason)


class OutageWorker:
    """One worker process, as ``Worker`` puts it together."""

    def __init__(
        self,
        broker: MemoryBroker,
        control: Control,
        pulses: MemoryPulses,
        *,
        partner: Callable[[float], bool],
        policy: RetryPolicy,
        concurrency: int,
        call_seconds: float,
        rolls: random.Random,
    ) -> None:
        self._broker = broker
        self._partner = partner
        self._policy = policy
        self._call_seconds = call_seconds
        self._rolls = rolls
        self._gate = Gate(concurrency)
        self._puller = _Puller()
        hold = WorkerHold(self._gate, self._puller)  # type: ignore[arg-type]
        self._trial = Trial(hold, lambda one: self._gate.resize(1 if one else concurrency))
        self._shared_hold = SharedHold(control, Names(), UID, hold, self._trial)  # type: ignore[arg-type]
        self._pulses = Pulses(lambda body: pulses.tell(UID, Pulse.decode(body)))
        self.records: dict[int, AttemptRecord] = {}
        self.attempts = 0
        self.failed = 0
        self._busy: set[asyncio.Task[None]] = set()

    async def main(self) -> None:
        obeying = asyncio.create_task(self._shared_hold.run())
        try:
            while True:
                free = self._gate.slots - self._gate.running
                if not self._puller.blocked and free > 0:
                    for task in await self._broker.take(UID, free):
                        assert self._gate.try_enter() or self._puller.blocked
                        doing = asyncio.create_task(self._do(task))
                        self._busy.add(doing)
                        doing.add_done_callback(self._busy.discard)
                await asyncio.sleep(0.05)
        finally:
            obeying.cancel()

    async def _do(self, task: Taken) -> None:
        if self._gate.refusing:  # it came as the hold began: handed back
            await asyncio.sleep(1.0)
            await self._broker.nak(task)
            return
        record = self.records.get(task.index, AttemptRecord())
        if record.failures == self._policy.max_attempts - 1 and self._trial.spares(task.index):
            self._gate.leave()
            await asyncio.sleep(self._trial.rest)
            await self._broker.nak(task)
            return
        self.attempts += 1
        works = self._partner(asyncio.get_running_loop().time())
        await asyncio.sleep(self._call_seconds)
        self._gate.leave()
        if works:
            self._pulses.succeeded()
            self._trial.succeeded()
            await self._broker.ack(task)
            return
        self.failed += 1
        rest = self._trial.rest
        self._pulses.failed("ConnectionError: refused")
        self._shared_hold.failed("ConnectionError: refused")
        verdict = after_run(Failed("refused"), record, self._policy, lost=0, roll=self._rolls.random())
        if isinstance(verdict, Bury):
            outcome = Outcome(task.index, False, task.body, 4, "w", "", "", "", "MaxAttempts", "refused")
            await self._broker.store_outcome(UID, outcome)
            await self._broker.ack(task)
            return
        assert isinstance(verdict, Again)
        self.records[task.index] = verdict.record
        await asyncio.sleep(max(verdict.delay, rest))
        await self._broker.nak(task)


@dataclass(frozen=True)
class Came:
    """What a run came to."""

    dead: int
    attempts: int
    failed: int
    holds: int
    seconds: float
    """From the partner's return to the first success after it."""


async def outage(
    rig: EngineRig,
    *,
    workers: int,
    concurrency: int = 16,
    call_seconds: float = 0.1,
    begins: float = 60.0,
    lasts: float = 300.0,
    seed: int = 7,
) -> Came:
    """Drive the run of ``rig`` to its end, with a partner that is away for ``lasts`` seconds."""
    control, rolls = Control(), random.Random(seed)  # the same each time
    begins += asyncio.get_running_loop().time()
    rig.holds = control  # type: ignore[assignment]
    rig.broker.pulled = True
    rig.workers.observe = _enough(workers)  # type: ignore[method-assign]
    first_success: list[float] = []

    def partner(now: float) -> bool:
        works = not begins <= now < begins + lasts
        if works and now >= begins + lasts:
            first_success.append(now)
        return works

    retry = rig.run.spec.retry
    policy = RetryPolicy(
        retry.max_attempts, float(retry.initial_delay_seconds), float(retry.max_delay_seconds)
    )
    records: dict[int, AttemptRecord] = {}
    staff = [
        OutageWorker(
            rig.broker, control, rig.pulses, partner=partner, policy=policy,
            concurrency=concurrency, call_seconds=call_seconds, rolls=rolls,
        )
        for _ in range(workers)
    ]  # fmt: skip
    for worker in staff:
        worker.records = records
    async with rig.drive(labour=False) as driving:
        while rig.phase is None or rig.phase.value == "Pending":  # noqa: ASYNC110  # virtual time
            await asyncio.sleep(0.05)
        working = [asyncio.create_task(worker.main()) for worker in staff]
        while rig.phase is not None and not rig.phase.is_final and not driving.done():  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    tasks = rig.run.status.tasks
    assert tasks is not None
    return Came(
        dead=tasks.failed,
        attempts=sum(worker.attempts for worker in staff),
        failed=sum(worker.failed for worker in staff),
        holds=len(control.raised),
        seconds=first_success[0] - begins - lasts if first_success else float("inf"),
    )


def _enough(workers: int) -> Callable[[str], Any]:
    """So many workers, whatever is asked for: how they come and go is not what this is about."""
    from jobrun_operator.engine.ports import WorkersState

    state = {"desired": workers}

    async def observe(uid: str) -> WorkersState:
        await asyncio.sleep(0)
        return WorkersState(state["desired"], workers, workers)

    return observe
