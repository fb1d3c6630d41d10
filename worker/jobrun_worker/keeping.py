"""Results on their way to the broker: many at a time, written together, with no asyncio task that waits for each.

That is the ordinary way of a success. What does not go well (no answer in time, an error of the broker, a result that
is large) is given up here and stored in the patient way, which is safe: the first outcome of a task wins, and one that
is refused for it is stored already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from nats.aio.msg import Msg

from jobrun_worker.broker import REQUEST_TIMEOUT, Broker, sequence_of
from jobrun_worker.errors import BrokerUnavailable, WrongLastSequence
from jobrun_worker.held import Held
from jobrun_worker.retrying import until_available
from jobrun_worker.wire import (
    EXPECTED_LAST_SUBJECT_SEQUENCE,
    EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT,
    Names,
    format_time,
)

LARGE = 16 * 1024
"""Bytes of a result that are not written together with others: what is on its way is in memory."""
LOOKS = 1.0
"""Seconds between two looks for answers that are overdue."""


@dataclass(slots=True, eq=False)
class Kept:
    held: Held
    body: bytes
    attempts: int
    finished_ns: int
    seconds: float
    """That its handler took."""
    given_up_at: float
    """On the loop's clock."""


class Keeping:
    def __init__(
        self,
        broker: Broker,
        names: Names,
        uid: str,
        worker: str,
        stored: Callable[[Kept], None],
        given_up: Callable[[Kept], None],
    ) -> None:
        """Each that is kept comes to one of both: ``stored`` (also where it had an outcome before) or ``given_up``."""
        self._broker = broker
        self._ok = names.ok(uid, "")
        self._same = (
            f"Jobrun-Worker: {' '.join(worker.split())}\r\n"
            f"{EXPECTED_LAST_SUBJECT_SEQUENCE}: 0\r\n"
            f"{EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT}: {names.end(uid, '')}"
        )
        """Of the headers of all results, ready for the index."""
        self._stored = stored
        self._given_up = given_up
        self._inbox = ""
        self._number = 0
        self._waiting: dict[bytes, Kept] = {}
        """By the last token of the subject for the answer, the oldest first."""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Ready once there is a connection; until then nothing is kept here."""
        inbox = self._broker.inbox()
        await until_available(
            "an inbox for answers",
            lambda: self._broker.take_answers(f"{inbox}.*", self._answered, self._refused),
        )
        self._inbox = inbox

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def keep(self, held: Held, body: bytes, attempts: int, finished_ns: int, seconds: float) -> bool:
        """Send a result off; False: it can't be kept in this way now."""
        if not self._inbox or len(body) > LARGE or not self._broker.connected:
            return False
        self._number += 1
        number = str(self._number)
        due = self._loop.time() + REQUEST_TIMEOUT
        self._waiting[number.encode()] = Kept(held, body, attempts, finished_ns, seconds, due)
        headers = (
            f"{self._same}{held.index}\r\n"
            f"Jobrun-Attempts: {attempts}\r\n"
            f"Jobrun-Released-At: {format_time(held.released_ns)}\r\n"
            f"Jobrun-Started-At: {format_time(held.started_ns)}\r\n"
            f"Jobrun-Finished-At: {format_time(finished_ns)}\r\n"
        )
        self._broker.ask(f"{self._ok}{held.index}", headers, body, f"{self._inbox}.{number}")
        if self._timer is None:
            self._timer = self._loop.call_later(LOOKS, self._look)
        return True

    def _answered(self, answers: list[tuple[bytes, bytes]]) -> None:
        for subject, answer in answers:
            kept = self._waiting.pop(subject[subject.rindex(b".") + 1 :], None)
            if kept is None:
                continue  # given up meanwhile
            # {"stream": ..., "seq": ...}; read as JSON only where it may be something else
            if b'"seq":' in answer and b'"error"' not in answer:
                self._stored(kept)
                continue
            try:
                sequence_of(answer)
            except BrokerUnavailable:
                self._given_up(kept)
            except WrongLastSequence:
                self._stored(kept)
            else:
                self._stored(kept)

    async def _refused(self, message: Msg) -> None:
        """An answer with headers: that nobody stores such a subject now."""
        kept = self._waiting.pop(message.subject.rpartition(".")[2].encode(), None)
        if kept is not None:
            self._given_up(kept)

    def _look(self) -> None:
        now = self._loop.time()
        overdue = []
        for number, kept in self._waiting.items():
            if kept.given_up_at > now:
                break
            overdue.append(number)
        for number in overdue:
            self._given_up(self._waiting.pop(number))
        self._timer = self._loop.call_later(LOOKS, self._look) if self._waiting else None
