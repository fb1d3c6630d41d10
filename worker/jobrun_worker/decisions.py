"""What happens to a delivery, and what happens after a result: pure decisions, small frozen values.

    delivered -> before_run -> Run       start it among the others
                               RunAlone  an earlier worker was lost with it: nothing else may be held meanwhile
                               Bury      its dead letter is due without another run
    result    -> after_run  -> Complete  it is done
                               Bury      its dead letter is due
                               Again     store the record, then deliver it again after ``delay``
                               Pause     the same, and nobody takes anything for ``seconds``
    given back -> hand_back            the record to store before it is delivered again

Deliveries are not attempts: JetStream also counts one for a task that was handed back, or that was in a worker
which another task killed. The attempt record counts failures and returns, so the rest of the deliveries were lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from jobrun_worker.holding import MOST_SECONDS
from jobrun_worker.wire import AttemptRecord

MAX_ATTEMPTS = "MaxAttempts"
"""Reason of a dead letter: every attempt that the run allows has failed."""
HANDLER_FAILED = "HandlerFailed"
"""Reason of a dead letter: the handler said that this task can't succeed."""
WORKER_LOST = "WorkerLost"
"""Reason of a dead letter: as often as the run allows attempts, the worker that had the task went without a word."""

MAX_HOLD_SECONDS = MOST_SECONDS
"""The longest pause that a handler can ask for at once."""
MIN_HOLD_SECONDS = 1.0
"""The shortest: a pause uses no attempt, so without a bound a task could come back in a tight loop."""
MAX_RETRY_SECONDS = 7 * 86_400.0
"""The longest delay that a handler can ask for with ``Retry``."""


@dataclass(frozen=True, slots=True)
class Run:
    attempt: int
    """What the handler is told; counts from 1."""


@dataclass(frozen=True, slots=True)
class RunAlone:
    attempt: int


@dataclass(frozen=True, slots=True)
class Bury:
    reason: str
    error: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Complete:
    body: bytes
    """The result as JSON; empty where results are not retained."""
    attempts: int


@dataclass(frozen=True, slots=True)
class Again:
    record: AttemptRecord
    delay: float
    """Seconds until the task is delivered again."""


@dataclass(frozen=True, slots=True)
class Pause:
    record: AttemptRecord
    seconds: float
    """How long the run is held, and this task stays away."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Failed:
    error: str
    after: float | None = None
    """Seconds that the handler asked to wait; None: the run's back-off."""


@dataclass(frozen=True, slots=True)
class GaveUp:
    error: str


@dataclass(frozen=True, slots=True)
class Paused:
    seconds: float
    reason: str = ""


Result = Succeeded | Failed | GaveUp | Paused
"""What a handler's run came to."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_attempts: int
    initial_delay: float
    """Seconds."""
    max_delay: float
    """Seconds."""


def before_run(delivered: int, record: AttemptRecord, max_attempts: int) -> Run | RunAlone | Bury:
    """``delivered`` counts this delivery; ``record`` is what the deliveries before it left."""
    lost = record.lost(delivered)
    if record.failures >= max_attempts:
        return Bury(MAX_ATTEMPTS, record.error, record.failures + lost)
    if lost >= max_attempts:
        times = "once" if lost == 1 else f"{lost} times"
        error = f"the worker that had this task was lost {times} (killed, out of memory, or cut off)"
        return Bury(WORKER_LOST, error, record.failures + lost)
    attempt = record.failures + lost + 1
    return RunAlone(attempt) if lost else Run(attempt)


def after_run(
    result: Result, record: AttemptRecord, policy: RetryPolicy, *, lost: int, roll: float
) -> Complete | Bury | Again | Pause:
    """What a result means for its task.

    ``lost`` is what ``before_run`` found; ``roll`` is uniform in [0, 1).
    """
    attempts = record.failures + lost + 1
    if isinstance(result, Succeeded):
        return Complete(result.body, attempts)
    if isinstance(result, GaveUp):
        return Bury(HANDLER_FAILED, result.error, attempts)
    if isinstance(result, Paused):
        return Pause(hand_back(record), hold_seconds(result.seconds))
    failures = record.failures + 1
    if failures >= policy.max_attempts:
        return Bury(MAX_ATTEMPTS, result.error, attempts)
    failed = replace(record, failures=failures, error=result.error)
    if result.after is not None and math.isfinite(result.after):
        return Again(failed, min(max(0.0, result.after), MAX_RETRY_SECONDS))
    return Again(failed, backoff(failures, policy, roll))


def hand_back(record: AttemptRecord, deliveries: int = 1) -> AttemptRecord:
    """The record of a task of which so many deliveries came to nothing without a fault of its own."""
    return replace(record, returns=record.returns + deliveries)


def backoff(failures: int, policy: RetryPolicy, roll: float) -> float:
    """Seconds to wait after so many failures: exponential with full jitter.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: ``random_between(0, min(cap, base *
    2 ** attempt))``, where the first retry waits up to ``base``.
    """
    doubled = policy.initial_delay * 2.0 ** min(failures - 1, 64)
    return roll * min(policy.max_delay, doubled)


def hold_seconds(asked: float) -> float:
    """A pause within bounds; what is not a number counts as the shortest."""
    if math.isnan(asked):
        return MIN_HOLD_SECONDS
    return min(max(asked, MIN_HOLD_SECONDS), MAX_HOLD_SECONDS)
