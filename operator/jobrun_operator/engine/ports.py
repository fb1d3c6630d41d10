"""What the engine needs from the outside, as small Protocols; adapters live above the engine.

Every method may raise a kind of ``JobRunError`` (a ``TemporaryError`` where trying again can help) and nothing
else. One conformance suite a port runs against its in-memory and its real implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jobrun_operator.api import JobRun, JobRunStatus
from jobrun_worker.holding import Wish
from jobrun_worker.wire import Pulse


@dataclass(frozen=True, slots=True)
class RunRef:
    """Which run: its uid names its streams, namespace and name are for people."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        """As messages begin that are about it."""
        return f"{self.namespace}/{self.name}"


# --- where tasks come from ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """What one whole pass over a source found."""

    count: int
    digest: str
    """``sha256:<hex>`` of the payloads in order, each preceded by its length (8 bytes, big-endian)."""
    version: str = ""
    """The store's own proof of identity (object digest, strong ETag); empty where there is none."""
    size: int | None = field(default=None, compare=False)
    """Bytes of all payloads together; None where that is not known."""


class TaskSource(Protocol):
    """The payloads of a run, in order; the same at every pass, or the run fails."""

    async def scan(self) -> SourceSummary:
        """Read it all once, check every task. Raises SourceError that names the line, SourceUnavailable."""
        ...

    async def is_unchanged(self, known: SourceSummary) -> bool:
        """Whether it is still what ``known`` describes: by its version where it has one, else by another pass."""
        ...

    def read(self, start: int) -> AsyncIterator[Sequence[bytes]]:
        """Payloads from index ``start`` on, in chunks of at most 1000 tasks and about 4 MiB, at least one each."""
        ...


class ConfigMaps(Protocol):
    async def read_key(self, namespace: str, name: str, key: str) -> bytes:
        """Raises SourceUnavailable where the ConfigMap or its key is not there (yet)."""
        ...


class Secrets(Protocol):
    async def read_all(self, namespace: str, name: str) -> Mapping[str, str]:
        """Raises SourceUnavailable where the Secret is not there (yet)."""
        ...


class Objects(Protocol):
    """The broker's object store."""

    async def digest(self, bucket: str, name: str) -> str:
        """The object's own digest (``SHA-256=...``). Raises SourceUnavailable where it is not there."""
        ...

    def read(self, bucket: str, name: str) -> AsyncIterator[bytes]:
        """The object's bytes, chunk by chunk, in flat memory."""
        ...


# --- who does the work ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkersState:
    """``desired``: last asked for; ``running``: processes or pods that exist, those that drain included;
    ``ready``: connected and pulling."""

    desired: int = 0
    running: int = 0
    ready: int = 0
    error: str = ""
    """Why workers can't be started as asked, where that is so now."""


class Workers(Protocol):
    """Starts and drains the workers of runs: a Deployment each, or processes."""

    async def scale(self, run: JobRun, replicas: int) -> None:
        """Ask for ``replicas`` workers of ``run`` and return at once. Surplus ones drain (SIGTERM); those
        started from an older ``spec.worker`` or ``spec.retry`` are replaced."""
        ...

    async def observe(self, uid: str) -> WorkersState:
        """All zero for a run that never had any."""
        ...

    async def remove(self, uid: str) -> None:
        """End and forget the workers of a run; a run that has none is fine."""
        ...


# --- the broker -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Depth:
    """A run's work stream at one moment."""

    last_seq: int
    messages: int
    source: SourceSummary | None
    """What the stream was made for; None where its metadata is not ours."""
    keeps_results: bool = False
    """Results are kept since the first task: where one is missing it is lost, and not just of an earlier time."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The workers' consumer at one moment."""

    waiting: int
    """Released and not yet taken (``num_pending``)."""
    held: int
    """Taken and not yet acked, delayed retries included (``num_ack_pending``)."""
    deliveries: int
    """So far, of all tasks; may go back after a crash of the broker."""
    first_deliveries: int
    """The highest sequence delivered so far: as many tasks were delivered at least once."""
    paused: bool = False
    pulls: int = 0
    """Requests of workers that wait for a task (``num_waiting``): where there is one, somebody takes tasks."""

    @property
    def redeliveries(self) -> int:
        return max(0, self.deliveries - self.first_deliveries)

    def waits(self, released: int, messages: int) -> int:
        """How many wait at the most, where so many were released before this look and at most ``messages`` of them
        are still in the stream.

        ``num_pending`` follows the store by some milliseconds, more on a busy server (``stream.sigq`` of nats-server
        2.15): a look right behind a release does not count all of it. Sequences don't lag. They count too many where a
        consumer was made again, since in front of it there are tasks that have ended; ``messages`` bounds that.
        """
        return max(self.waiting, min(released - self.first_deliveries, messages - self.held))


@dataclass(frozen=True, slots=True)
class Ends:
    """How many tasks have an outcome stored."""

    failed: int
    succeeded: int
    """Kept results; 0 without ``results.retain``."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt that failed, or the dead letter that followed the last one."""

    seq: int
    """Of its record in the outcome stream: a later record has a higher one."""
    index: int
    attempt: int
    error: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The retries of a run's dead letters that are asked for and not settled, at one moment."""

    messages: int
    waiting: int = 0
    """Not yet taken by a worker."""
    held: int = 0
    """Taken and not settled, those that wait for another attempt included."""
    deliveries: int = 0
    """So far; may go back after a crash of the broker."""
    paused: bool = False


class Retries(Protocol):
    """Dead letters that are tried once more. What is not there counts as nothing asked for."""

    async def open(self, run: RunRef, source: SourceSummary) -> None:
        """Make what requests are stored in; what is there already stays as it is."""
        ...

    async def close(self, uid: str) -> None:
        """Take no more requests, and forget those that are not settled."""
        ...

    async def asked(self, uid: str) -> Asked | None:
        """None: what requests are stored in has not been made."""
        ...

    async def settle(self, uid: str, *, keep: bool) -> int:
        """Let successes take the place of their dead letters (``keep``: as results), a page of them; returns how many.
        Safe to repeat after an interruption at any point."""
        ...

    async def permit(self, uid: str, count: int, at_a_time: int) -> None:
        """Let workers begin ``count`` retries within the next second, one process at most ``at_a_time`` of them."""
        ...

    async def pause(self, uid: str, *, paused: bool) -> None:
        """Stop or go on delivering."""
        ...

    async def rebuild(self, uid: str, *, paused: bool) -> None:
        """Make again what delivers requests, at the start of what is left of them."""
        ...

    async def wanted(self) -> Collection[str]:
        """The uids of all runs that have something to be retried, ended ones included."""
        ...


class WorkStreams(Protocol):
    """The streams of runs: made, paused, deleted."""

    async def provision(self, run: RunRef, source: SourceSummary, *, keeps_results: bool = False) -> None:
        """Make what the run needs; what is there already stays as it is."""
        ...

    async def pause(self, uid: str, *, paused: bool) -> None:
        """Stop or go on delivering; acks work all the while."""
        ...

    async def rebuild_consumer(self, uid: str, *, paused: bool) -> None:
        """Make the workers' consumer again, at the start of what is left in the stream."""
        ...

    async def rebuild_counters(self, uid: str) -> None:
        """Make again what ``Observer.ends`` counts with; nothing but that is touched."""
        ...

    async def results_dropped(self, uid: str) -> None:
        """Note for good that results of this run were not kept for a while: ``Depth.keeps_results`` is false then."""
        ...

    async def all_done(self, uid: str) -> None:
        """No task will come any more: give back the room that was set aside for them."""
        ...

    async def delete(self, uid: str) -> None:
        """Free a run's streams; those that are gone are fine."""
        ...


class Observer(Protocol):
    """Reads the streams. Reading changes nothing."""

    async def depth(self, uid: str) -> Depth | None:
        """None: the stream is certainly not there."""
        ...

    async def flow(self, uid: str) -> Flow | None:
        """None: the consumer is certainly not there."""
        ...

    async def ends(self, uid: str, *, results: bool = True, exact: bool = False) -> Ends | None:
        """None: what counts them is not there and has to be made again. Raises Gone where the outcomes are.

        ``results`` false: only dead letters are counted, which is cheaper, and ``succeeded`` is 0.
        A counter may be a moment behind what is stored; ``exact`` counts what is stored, which takes longer the more
        it is."""
        ...

    async def first_errors(self, uid: str) -> Sequence[FailedAttempt]:
        """The oldest failed attempt and the oldest dead letter that are stored, where there are any."""
        ...

    async def last_errors(self, uid: str) -> Sequence[FailedAttempt]:
        """The newest failed attempt and the newest dead letter, where there are any; what can't be read is left out."""
        ...

    async def refusal(self, uid: str) -> str:
        """Why workers can't store outcomes now, for want of room; empty where they can."""
        ...


class Publisher(Protocol):
    async def release(self, uid: str, after: int, payloads: Sequence[bytes]) -> int:
        """Store ``payloads`` (1 to 1000) behind sequence ``after``, all or nothing; returns the new last
        sequence. Raises Conflict where ``after`` is not the last; after any other error nothing is known."""
        ...


# --- what holds a run -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing of the run is to be begun for ``left`` more seconds."""

    left: float
    why: str
    """Throttled, CircuitBreaker."""
    message: str
    id: str
    """Of this hold; another one where it was raised again."""


class Holds(Protocol):
    """What workers and breakers have raised; workers obey it by themselves."""

    def listen(self, uid: str, changed: Callable[[], None]) -> None:
        """Have ``changed`` called whenever something may have been raised for the run."""
        ...

    def forget(self, uid: str) -> None: ...

    async def read(self, uid: str) -> Hold | None:
        """None: the run is not held. Asking often costs nothing, and raises nothing."""
        ...

    async def hold(self, uid: str, seconds: float, wish: Wish) -> None:
        """Raise one, unless one is there that lasts at least as long."""
        ...


class Pulses(Protocol):
    """How attempts fare, as the workers tell it."""

    def listen(self, uid: str, heard: Callable[[Pulse], None]) -> None:
        """Have ``heard`` called with each pulse of the run's workers."""
        ...

    def forget(self, uid: str) -> None: ...


# --- what the engine tells ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One transition of a run. The same ``id`` is stored once, however often it is told."""

    id: str
    run: RunRef
    type: str
    """The condition reason, in CamelCase."""
    message: str
    time: str
    phase: str


class Audit(Protocol):
    async def record(self, record: AuditRecord) -> None: ...


class LiveStatus(Protocol):
    async def put(self, run: RunRef, status: JobRunStatus) -> None:
        """At the engine's pace; only the newest is kept."""
        ...

    async def forget(self, run: RunRef) -> None: ...


class StatusWriter(Protocol):
    async def write(self, run: JobRun, status: JobRunStatus) -> JobRun:
        """Write ``status`` guarded by ``run``'s resourceVersion; returns the run as stored. Raises Conflict
        where it was changed by somebody else, Gone where it does not exist any more."""
        ...

    async def read(self, run: JobRun) -> JobRun:
        """The run as it is stored now. Raises Gone."""
        ...


class Events(Protocol):
    async def publish(self, run: JobRun, *, reason: str, message: str, warning: bool) -> None:
        """Tell people; best effort, and the last thing done about a transition."""
        ...
