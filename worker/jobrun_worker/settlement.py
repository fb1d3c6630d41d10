"""How a delivery ends: what is to be stored is stored first, then the broker is told.

A task that is acked is gone, so its outcome is stored before; a task that is nak'd comes again, so the record that
says why is stored before. Between the two a crash costs a repetition, never a task.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import replace

from jobrun_worker import metrics as outcomes
from jobrun_worker.broker import Broker
from jobrun_worker.decisions import (
    Again,
    Bury,
    Complete,
    Pause,
    Paused,
    Result,
    RetryPolicy,
    after_run,
    hand_back,
    hold_seconds,
)
from jobrun_worker.held import Held
from jobrun_worker.hold import Hold
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.shared_hold import SharedHold
from jobrun_worker.store import Store
from jobrun_worker.wire import AttemptRecord, Outcome, format_time

log = logging.getLogger(__name__)


class Settlement:
    def __init__(
        self, settings: WorkerSettings, broker: Broker, store: Store, hold: Hold, shared_hold: SharedHold
    ) -> None:
        self._settings = settings
        self._policy = RetryPolicy(
            settings.max_attempts, settings.retry_initial_delay_seconds, settings.retry_max_delay_seconds
        )
        self._broker = broker
        self._store = store
        self._hold = hold
        self._shared_hold = shared_hold

    async def settle(self, held: Held, result: Result, rest: float = 0.0) -> str:
        """End an attempt; returns the outcome that metrics count. Another attempt comes after ``rest`` seconds at the
        soonest."""
        finished = time.time_ns()
        if isinstance(result, Paused):
            self._shared_hold.throttle(hold_seconds(result.seconds), result.reason)
        verdict = await self._decide(held, result)
        if isinstance(verdict, Complete):
            await self.complete(held, verdict, finished)
            return outcomes.SUCCEEDED
        if isinstance(verdict, Bury):
            await self.bury(held, verdict, finished)
            return outcomes.DEAD
        if isinstance(verdict, Pause):
            self._tell(held, nak(self._hold.left()))
            return outcomes.THROTTLED
        delay = max(verdict.delay, rest)
        self._tell(held, nak(delay))
        log.info(
            "task %d: attempt %d failed, the next one in %.1f s: %s",
            held.index,
            held.attempt,
            delay,
            verdict.record.error,
        )
        return outcomes.FAILED

    def ack(self, held: Held) -> None:
        """What there is to store of it is stored."""
        held.settled = True
        self._broker.ack(held.reply)

    async def complete(self, held: Held, verdict: Complete, finished_ns: int) -> None:
        """Store its result, and ack."""
        await self._end(held, self._outcome(held, finished_ns, verdict.attempts, verdict.body))

    async def bury(self, held: Held, verdict: Bury, finished_ns: int) -> None:
        """Store its dead letter, and ack."""
        log.warning(
            "task %d: dead letter (%s) after attempt %d: %s",
            held.index,
            verdict.reason,
            verdict.attempts,
            verdict.error,
        )
        await self._end(
            held,
            self._outcome(held, finished_ns, verdict.attempts, held.payload, verdict.reason, verdict.error),
        )

    async def hand_back(self, held: Held, delay: float) -> None:
        """Its handler has not begun: the broker delivers it again after ``delay`` seconds, and nothing is charged."""
        await self.excuse(held)
        self._tell(held, nak(delay))

    async def excuse(self, held: Held) -> None:
        """Book this delivery as a return already now: should this worker be lost, the task was not at work in it."""
        if not held.excused:
            await self._store.write_record(held, hand_back)
            held.excused = True

    async def charge(self, held: Held) -> None:
        """Take that back: from now on the task is at work, and a loss of this worker is its own."""
        if held.excused:
            await self._store.write_record(
                held, lambda record: replace(record, returns=max(0, record.returns - 1))
            )
            held.excused = False

    async def _decide(self, held: Held, result: Result) -> Complete | Bury | Again | Pause:
        """What follows from a result, with the record of it stored where there is one."""
        roll = random.random()  # noqa: S311  # jitter, no secret
        verdict: Complete | Bury | Again | Pause = after_run(
            result, held.record, self._policy, lost=held.lost, roll=roll
        )

        def change(record: AttemptRecord) -> AttemptRecord | None:
            nonlocal verdict
            verdict = after_run(result, record, self._policy, lost=held.lost, roll=roll)
            return verdict.record if isinstance(verdict, Again | Pause) else None

        await self._store.write_record(held, change)
        return verdict

    async def _end(self, held: Held, outcome: Outcome) -> None:
        if not await self._store.store_outcome(outcome, held.dead_letter):
            log.info("task %d: had an outcome already, which stands", held.index)
        self.ack(held)

    def _tell(self, held: Held, word: bytes) -> None:
        """The last word about a delivery. It waits for no answer: should it be lost, the task comes again."""
        held.settled = True
        self._broker.tell(held.reply, word)

    def _outcome(
        self, held: Held, finished_ns: int, attempts: int, body: bytes, reason: str = "", error: str = ""
    ) -> Outcome:
        letter = held.dead_letter
        return Outcome(
            index=held.index,
            succeeded=not reason,
            body=body,
            attempts=attempts + (letter.attempts if letter is not None else 0),
            worker=self._settings.worker,
            released_at=letter.released_at if letter is not None else format_time(held.released_ns),
            started_at=format_time(held.started_ns or finished_ns),
            finished_at=format_time(finished_ns),
            reason=reason,
            error=error,
        )


def nak(delay: float) -> bytes:
    """``-NAK``, with a delay in seconds (source: nats-server's ConsumerNakOptions, in nanoseconds)."""
    return b'-NAK {"delay": %d}' % int(delay * 1e9) if delay > 0 else b"-NAK"
