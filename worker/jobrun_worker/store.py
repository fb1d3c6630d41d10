"""What a worker stores about tasks: attempt records and outcomes, each safe to repeat.

An outcome is stored only where its task has none (the first wins), so one that is refused is there already; the one of
a retry only where the dead letter that it is of is still the newest, and takes its place at once: a failure overwrites
it, a success is stored beside it for the engine to clear away, which alone may remove what is stored. A record
is stored by compare-and-set on its own subject; it carries the marks of its last writes, so that a store whose answer
was lost is recognised and not booked twice, also where another worker has written since.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from nats.nuid import NUID

from jobrun_worker.broker import Broker
from jobrun_worker.dead_letter import DeadLetter
from jobrun_worker.decisions import hand_back
from jobrun_worker.errors import BrokerUnavailable, WrongLastSequence
from jobrun_worker.held import Held
from jobrun_worker.retrying import Patience, until_available
from jobrun_worker.wire import (
    EXPECTED_LAST_SUBJECT_SEQUENCE,
    EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT,
    AttemptRecord,
    Names,
    Outcome,
)

log = logging.getLogger(__name__)

WRITES = "Jobrun-Writes"
"""Header of an attempt record: the marks of the writes that it came of, the newest first."""
_KEPT_WRITES = 8
"""More than other workers can write to one record before a store that waits for its answer is tried again."""


class Store:
    def __init__(self, broker: Broker, names: Names, uid: str) -> None:
        self._broker = broker
        self._names = names
        self._uid = uid
        self._stream = names.out_stream(uid)
        self._nuid = NUID()

    async def read_record(self, held: Held) -> None:
        """Take over what earlier deliveries left."""
        subject = self._names.attempt(self._uid, held.record_name)
        stored = await until_available(
            f"task {held.index}: reading its attempts", lambda: self._broker.last(self._stream, subject)
        )
        if stored is None:
            held.record, held.record_sequence, held.record_writes = AttemptRecord(), 0, ()
            return
        held.record_sequence = stored.sequence
        held.record_writes = tuple(stored.headers.get(WRITES, "").split())
        try:
            held.record = AttemptRecord.decode(stored.body)
        except ValueError as error:
            log.error("task %d: its attempt record is taken for empty: %s", held.index, error)
            held.record = AttemptRecord()

    async def write_record(self, held: Held, change: Callable[[AttemptRecord], AttemptRecord | None]) -> bool:
        """Store what ``change`` makes of the record; False if it makes None of it.

        ``change`` is asked again with the newer record where somebody else has stored one meanwhile. Copies of the
        task that come while it is held here, as they do after an outage, are no lost deliveries: they are booked
        as returns, also those that come while this waits for the broker.
        """
        subject = self._names.attempt(self._uid, held.record_name)
        patience = Patience(f"task {held.index}: storing its attempts")
        written: dict[str, int] = {}
        changed = False
        while not changed or held.copies > held.booked:
            record = held.record if changed else change(held.record)
            if record is None:
                return False
            copies = held.copies
            record = hand_back(record, copies - held.booked)
            mark = bytes(self._nuid.next()).decode()
            written[mark] = copies
            writes = (mark, *held.record_writes)[:_KEPT_WRITES]
            headers = {EXPECTED_LAST_SUBJECT_SEQUENCE: str(held.record_sequence), WRITES: " ".join(writes)}
            try:
                held.record_sequence = await self._broker.store(subject, record.encode(), headers)
                held.record, held.record_writes = record, writes
            except BrokerUnavailable as error:
                await patience.wait(error)
                continue
            except WrongLastSequence:
                await self.read_record(held)
                if not (own := [one for one in held.record_writes if one in written]):
                    continue
                mark = own[0]
            changed, held.booked = True, written[mark]
        return True

    async def read_dead_letter(self, held: Held) -> bool:
        """Take over payload and history of the dead letter that a retry is of; False: there is nothing to retry."""
        letter = held.dead_letter
        assert letter is not None  # noqa: S101  # of a retry
        what = f"task {held.index}: reading its dead letter"
        dead, retried = (
            subject_of(self._uid, held.index) for subject_of in (self._names.dead, self._names.retried)
        )
        stored = await until_available(what, lambda: self._broker.last(self._stream, dead))
        if stored is None or stored.sequence != letter.sequence:
            return False  # it was discarded, or retried and has failed once more
        if await until_available(what, lambda: self._broker.last(self._stream, retried)) is not None:
            return False  # it was retried and has succeeded
        try:
            outcome = Outcome.parse(dead, stored.headers, stored.body)
        except ValueError as error:
            log.error("task %d: its dead letter can't be read, so it is not retried: %s", held.index, error)
            return False
        held.payload = outcome.body
        held.dead_letter = replace(letter, attempts=outcome.attempts, released_at=outcome.released_at)
        return True

    async def store_outcome(self, outcome: Outcome, over: DeadLetter | None = None) -> bool:
        """In the place of the dead letter ``over``, where there is one to retry. False: the task had an outcome
        already, or another one, which stands."""
        if over is None or not outcome.succeeded:
            subject_of = self._names.ok if outcome.succeeded else self._names.dead
        else:
            subject_of = self._names.retried
        subject = subject_of(self._uid, outcome.index)
        headers = outcome.headers() | {
            EXPECTED_LAST_SUBJECT_SEQUENCE: str(over.sequence) if over is not None else "0",
            EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT: self._names.end(self._uid, outcome.index),
        }
        try:
            await until_available(
                f"task {outcome.index}: storing its outcome",
                lambda: self._broker.store(subject, outcome.body, headers),
            )
        except WrongLastSequence:
            return False
        return True
