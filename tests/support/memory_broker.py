"""A broker in memory: the ports ``WorkStreams``, ``Observer`` and ``Publisher``, and the workers' side of them.

It behaves as JetStream does, held to that by one conformance suite. Times are of the running loop's clock; ``delay``
gives the seconds that each way of a request takes. What can go wrong with a real broker is a method or a switch.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobrun_operator.engine.ports import Depth, Ends, FailedAttempt, Flow, RunRef, SourceSummary
from jobrun_operator.errors import BrokerUnavailable, Conflict, Gone, JobRunError
from jobrun_worker.wire import AttemptRecord, Names, Outcome

NAMES = Names()


@dataclass(frozen=True)
class Stored:
    """A task that the broker stored: what G1 and G3 are about."""

    uid: str
    seq: int
    body: bytes
    at: float


@dataclass(frozen=True)
class Taken:
    """A task in a worker's hands."""

    uid: str
    seq: int
    body: bytes
    delivered: int
    at: float

    @property
    def index(self) -> int:
        return self.seq - 1


@dataclass
class _Consumer:
    pending: deque[int]
    top: int
    """The highest sequence delivered."""
    paused: bool = False
    deliveries: int = 0
    pulls: int = 0
    held: set[int] = field(default_factory=set)
    """Taken and not acked, those that wait to be delivered again included."""
    again: deque[int] = field(default_factory=deque)
    counts: dict[int, int] = field(default_factory=dict)


@dataclass
class _Run:
    ref: RunRef
    source: SourceSummary
    keeps_results: bool
    installation: str
    consumer: _Consumer | None
    bodies: dict[int, bytes] = field(default_factory=dict)
    last_seq: int = 0
    has_work: bool = True
    has_outcomes: bool = True
    has_counters: bool = True
    out_seq: int = 0
    dead: dict[int, tuple[int, Outcome]] = field(default_factory=dict)
    kept: dict[int, tuple[int, Outcome]] = field(default_factory=dict)
    attempts: dict[int, tuple[int, AttemptRecord]] = field(default_factory=dict)


class MemoryBroker:
    """Streams of one installation; ``sharing`` gives another installation on the same broker."""

    def __init__(self, installation: str = "here", *, delay: Callable[[], float] = lambda: 0.0) -> None:
        self.installation = installation
        self.delay = delay
        self._runs: dict[str, _Run] = {}
        self.stored: list[Stored] = []
        """Every task stored, lost ones included, in the order of time."""
        self.calls: list[str] = []
        """Every call of WorkStreams."""
        self.requests = 0
        """Calls of all three ports: a request to a real broker each, or some."""
        self.fault: JobRunError | None = None
        """Where set, every call raises it and does nothing."""
        self.lag = 0.0
        """Seconds for which a consumer does not count what was stored."""
        self.pulled = False
        """Somebody asks for tasks all the while, also where nothing is taken."""
        self.refuses_batches: JobRunError | None = None
        """Where set, nothing is stored and this is raised."""
        self.refuses_outcomes = ""
        """Where set, no outcome is taken, for this reason."""
        self.lost_acks = 0
        """So many batches from now on are stored, and their acknowledgement is lost."""
        self.late_batches = 0
        """So many batches from now on get no answer, and are stored (or refused) at ``land()``."""
        self._late: list[tuple[str, int, Sequence[bytes]]] = []

    def sharing(self, installation: str) -> MemoryBroker:
        other = MemoryBroker(installation)
        other._runs = self._runs
        return other

    # --- WorkStreams ------------------------------------------------------------------------------------

    async def provision(self, run: RunRef, source: SourceSummary, *, keeps_results: bool = False) -> None:
        await self._call(f"provision {run.uid}")
        here = self._runs.get(run.uid)
        if here is None:
            made = _Run(run, source, keeps_results, self.installation, _Consumer(deque(), 0))
            self._runs[run.uid] = made
            return
        self._check_owner(here)
        if not here.has_work:
            here.has_work, here.source, here.consumer = True, source, None
        here.has_outcomes = here.has_counters = True
        here.consumer = here.consumer or _fresh(here)

    async def pause(self, uid: str, *, paused: bool) -> None:
        await self._call(f"pause {uid}" if paused else f"go on {uid}")
        self._consumer(uid).paused = paused

    async def rebuild_consumer(self, uid: str, *, paused: bool) -> None:
        await self._call(f"rebuild {uid}")
        run = self._run(uid)
        run.consumer = _fresh(run)
        run.consumer.paused = paused

    async def rebuild_counters(self, uid: str) -> None:
        await self._call(f"rebuild counters {uid}")
        self._run(uid).has_counters = True

    async def results_dropped(self, uid: str) -> None:
        await self._call(f"results_dropped {uid}")
        self._run(uid).keeps_results = False

    async def all_done(self, uid: str) -> None:
        await self._call(f"all_done {uid}")

    async def delete(self, uid: str) -> None:
        await self._call(f"delete {uid}")
        if uid in self._runs:
            self._check_owner(self._runs[uid])
            del self._runs[uid]

    def _check_owner(self, run: _Run) -> None:
        if run.installation != self.installation:
            raise JobRunError(f"the stream of {run.ref.uid} belongs to another installation")

    # --- Observer ---------------------------------------------------------------------------------------

    async def depth(self, uid: str) -> Depth | None:
        await self._call()
        run = self._runs.get(uid)
        return _depth(run) if run is not None and run.has_work else None

    async def flow(self, uid: str) -> Flow | None:
        await self._call()
        run = self._runs.get(uid)
        consumer = run.consumer if run is not None and run.has_work else None
        if consumer is None:
            return None
        return Flow(
            waiting=len(consumer.pending) - self._uncounted(uid, consumer),
            held=len(consumer.held),
            deliveries=consumer.deliveries,
            first_deliveries=consumer.top,
            paused=consumer.paused,
            pulls=1 if self.pulled else consumer.pulls,
        )

    def _uncounted(self, uid: str, consumer: _Consumer) -> int:
        since = asyncio.get_running_loop().time() - self.lag
        late = itertools.takewhile(lambda one: one.at > since, reversed(self.stored))
        return len({one.seq for one in late if one.uid == uid} & set(consumer.pending)) if self.lag else 0

    def waits(self, uid: str) -> int:
        """How many tasks wait for a worker, whatever a consumer counts."""
        return len(self._consumer(uid).pending)

    async def ends(self, uid: str, *, results: bool = True, exact: bool = False) -> Ends | None:
        await self._call()
        run = self._runs.get(uid)
        if run is None or not run.has_outcomes:
            raise Gone(f"the outcomes of run {uid} are gone")
        return Ends(len(run.dead), len(run.kept) if results else 0) if run.has_counters else None

    async def first_errors(self, uid: str) -> Sequence[FailedAttempt]:
        return await self._errors(uid, min)

    async def last_errors(self, uid: str) -> Sequence[FailedAttempt]:
        return await self._errors(uid, max)

    async def refusal(self, uid: str) -> str:
        await self._call()
        return self.refuses_outcomes

    async def _errors(self, uid: str, choose: Callable[..., Any]) -> Sequence[FailedAttempt]:
        await self._call()
        run = self._run(uid)
        found = []
        if run.attempts:
            index, (seq, record) = choose(run.attempts.items(), key=lambda item: item[1][0])
            if record.failures:
                found.append(FailedAttempt(seq, index, record.failures, record.error))
        if run.dead:
            index, (seq, outcome) = choose(run.dead.items(), key=lambda item: item[1][0])
            found.append(FailedAttempt(seq, index, outcome.attempts, outcome.error))
        return found

    # --- Publisher --------------------------------------------------------------------------------------

    async def release(self, uid: str, after: int, payloads: Sequence[bytes]) -> int:
        assert 1 <= len(payloads) <= 1000
        await self._call()
        if self.refuses_batches is not None:
            raise self.refuses_batches
        if self.late_batches:
            self.late_batches -= 1
            self._late.append((uid, after, payloads))
            raise BrokerUnavailable("no answer to a batch")
        last = self._store(uid, after, payloads)
        lost = self.lost_acks > 0
        self.lost_acks -= lost
        await asyncio.sleep(self.delay())
        if lost:
            raise BrokerUnavailable("no answer to a batch")
        return last

    def _store(self, uid: str, after: int, payloads: Sequence[bytes]) -> int:
        run = self._runs.get(uid)
        if run is None or not run.has_work:
            raise BrokerUnavailable(f"no stream takes tasks of {uid}")
        if run.last_seq != after:
            raise Conflict(f"wrong last sequence: {run.last_seq}")
        at = asyncio.get_running_loop().time()
        for body in payloads:
            run.last_seq += 1
            run.bodies[run.last_seq] = body
            self.stored.append(Stored(uid, run.last_seq, body, at))
            if run.consumer is not None and run.last_seq > run.consumer.top:
                run.consumer.pending.append(run.last_seq)
        return run.last_seq

    # --- what workers do --------------------------------------------------------------------------------

    async def take(self, uid: str, most: int) -> list[Taken]:
        """Those to be delivered again first."""
        consumer, run = self._consumer(uid), self._run(uid)
        taken: list[Taken] = []
        consumer.pulls = 1 if most > len(consumer.again) + len(consumer.pending) else 0
        if consumer.paused or self.fault is not None:
            return []
        at = asyncio.get_running_loop().time()
        while len(taken) < most and (consumer.again or consumer.pending):
            seq = consumer.again.popleft() if consumer.again else consumer.pending.popleft()
            consumer.held.add(seq)
            consumer.deliveries += 1
            consumer.top = max(consumer.top, seq)
            consumer.counts[seq] = consumer.counts.get(seq, 0) + 1
            taken.append(Taken(uid, seq, run.bodies[seq], consumer.counts[seq], at))
        return taken

    async def ack(self, task: Taken) -> None:
        """Of a task that is gone, or that the broker has forgotten: fine."""
        run = self._runs.get(task.uid)
        if run is not None and run.consumer is not None and task.seq in run.consumer.held:
            run.consumer.held.discard(task.seq)
            run.bodies.pop(task.seq, None)

    async def nak(self, task: Taken) -> None:
        """Hand it back, to be delivered again at once; a killed worker's tasks come back like that too."""
        consumer = self._consumer(task.uid)
        if task.seq in consumer.held and task.seq not in consumer.again:
            consumer.again.append(task.seq)

    async def store_outcome(self, uid: str, outcome: Outcome) -> bool:
        """False: the task has an outcome already."""
        run = self._run(uid)
        if outcome.index in run.dead or outcome.index in run.kept:
            return False
        self._put_outcome(run, outcome)
        return True

    async def overwrite_dead(self, uid: str, outcome: Outcome) -> None:
        self._put_outcome(self._run(uid), outcome)

    def dead_letter(self, uid: str, index: int) -> Outcome:
        return self._run(uid).dead[index][1]

    async def remove_dead(self, uid: str, index: int) -> None:
        del self._run(uid).dead[index]

    async def store_attempt(self, uid: str, index: int, record: AttemptRecord) -> None:
        run = self._run(uid)
        run.out_seq += 1
        run.attempts[index] = (run.out_seq, record)

    @staticmethod
    def _put_outcome(run: _Run, outcome: Outcome) -> None:
        run.out_seq += 1
        (run.kept if outcome.succeeded else run.dead)[outcome.index] = (run.out_seq, outcome)

    def bodies(self, uid: str) -> list[bytes]:
        """What is in the stream of work, by sequence."""
        run = self._run(uid)
        return [run.bodies[seq] for seq in sorted(run.bodies)]

    # --- what goes wrong --------------------------------------------------------------------------------

    def release_elsewhere(self, uid: str, payloads: Sequence[bytes]) -> None:
        """Another engine releases these."""
        self._store(uid, self._run(uid).last_seq, payloads)

    def land(self) -> None:
        """What was sent and not answered arrives now."""
        late, self._late = self._late, []
        for uid, after, payloads in late:
            if self._run(uid).last_seq == after:
                self._store(uid, after, payloads)

    def lose_tail(self, uid: str, tasks: int) -> None:
        """The machine of the broker lost its power before the disk had the newest tasks."""
        run = self._run(uid)
        run.last_seq -= tasks
        for seq in [seq for seq in run.bodies if seq > run.last_seq]:
            del run.bodies[seq]
        if (consumer := run.consumer) is not None:
            consumer.pending = deque(seq for seq in consumer.pending if seq <= run.last_seq)
            consumer.again = deque(seq for seq in consumer.again if seq <= run.last_seq)
            consumer.held = {seq for seq in consumer.held if seq <= run.last_seq}
            consumer.top = min(consumer.top, run.last_seq)

    def lose_sight(self, uid: str) -> None:
        """The consumer comes back above its messages."""
        consumer = self._consumer(uid)
        consumer.top = self._run(uid).last_seq
        consumer.pending.clear()
        consumer.again.clear()
        consumer.held.clear()

    def lose_consumer(self, uid: str) -> None:
        self._run(uid).consumer = None

    def lose_counters(self, uid: str) -> None:
        self._run(uid).has_counters = False

    def lose_work(self, uid: str) -> None:
        run = self._run(uid)
        run.has_work, run.consumer, run.last_seq = False, None, 0
        run.bodies.clear()

    def lose_outcomes(self, uid: str) -> None:
        run = self._run(uid)
        run.has_outcomes = False
        run.dead.clear()
        run.kept.clear()

    # ----------------------------------------------------------------------------------------------------

    async def _call(self, name: str = "") -> None:
        self.requests += 1
        await asyncio.sleep(self.delay())
        if self.fault is not None:
            raise self.fault
        if name:
            self.calls.append(name)

    def _run(self, uid: str) -> _Run:
        if uid not in self._runs:
            raise JobRunError(f"there is no stream of {uid}")
        return self._runs[uid]

    def _consumer(self, uid: str) -> _Consumer:
        consumer = self._run(uid).consumer
        if consumer is None:
            raise JobRunError(f"there is no consumer of {uid}")
        return consumer


def _fresh(run: _Run) -> _Consumer:
    left = sorted(run.bodies)
    return _Consumer(deque(left), (left[0] - 1) if left else run.last_seq)


def _depth(run: _Run) -> Depth:
    return Depth(run.last_seq, len(run.bodies), run.source, run.keeps_results)
