"""The dead letters of a run: read in flat memory, whatever their number, and retried or given up one by one.

A letter is known by the sequence of its message: whoever changes one says which sequence it has read, so that a letter
that was written anew meanwhile (its task was retried and failed again) is left alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from jobrun_operator.errors import Conflict
from jobrun_operator.jetstream.client import JetStream, NotFound
from jobrun_operator.jetstream.direct import END, batched_get, last_of
from jobrun_worker.wire import DISCARDED, EXPECTED_LAST_SUBJECT_SEQUENCE, Names, Outcome, RetryRequest

_PAGE = 500
"""Letters asked for at a time."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    sequence: int
    """Of its message in the stream of outcomes."""
    outcome: Outcome

    @property
    def discarded(self) -> bool:
        return self.outcome.reason == DISCARDED


async def dead_letters(js: JetStream, names: Names, uid: str) -> AsyncIterator[DeadLetter]:
    """All of them, the oldest first, those that were discarded included. Raises BrokerUnavailable."""
    start = 1
    while start:
        request = {"next_by_subj": names.dead(uid, "*"), "seq": start, "batch": _PAGE}
        start = 0
        async for headers, message in batched_get(js, names.out_stream(uid), request):
            if headers.get("Status") != END:
                yield _letter(headers, message.data)
            elif int(headers.get("Nats-Num-Pending", "0")):
                start = int(headers["Nats-Last-Sequence"]) + 1


async def letters_of(js: JetStream, names: Names, uid: str, indexes: Sequence[int]) -> dict[int, DeadLetter]:
    """Those of these tasks, by index; one that has none is left out. Raises BrokerUnavailable."""
    found = {}
    for start in range(0, len(indexes), _PAGE):
        subjects = [names.dead(uid, index) for index in indexes[start : start + _PAGE]]
        async for headers, message in last_of(js, names.out_stream(uid), subjects):
            letter = _letter(headers, message.data)
            found[letter.outcome.index] = letter
    return found


def _letter(headers: Mapping[str, str], body: bytes) -> DeadLetter:
    return DeadLetter(int(headers["Nats-Sequence"]), Outcome.parse(headers["Nats-Subject"], headers, body))


async def takes_retries(js: JetStream, names: Names, uid: str) -> bool:
    """Whether dead letters of this run can be retried: not before there are any, and not after it has failed."""
    try:
        await js.api(f"STREAM.INFO.{names.retry_stream(uid)}")
    except NotFound:
        return False
    return True


async def retry(js: JetStream, names: Names, uid: str, letter: DeadLetter) -> bool:
    """Ask for it; False: it is asked for already. Raises BrokerUnavailable and what else ``publish`` does."""
    request = RetryRequest(letter.outcome.index, letter.sequence)
    try:
        await js.publish(
            names.retry(uid, request.index), request.encode(), {EXPECTED_LAST_SUBJECT_SEQUENCE: "0"}
        )
    except Conflict:
        return False
    return True


async def being_retried(js: JetStream, names: Names, uid: str, letters: Sequence[DeadLetter]) -> set[int]:
    """The indexes of those of ``letters`` whose retry is asked for and not settled. Raises BrokerUnavailable."""
    found = set()
    for start in range(0, len(letters), _PAGE):
        subjects = [names.retry(uid, letter.outcome.index) for letter in letters[start : start + _PAGE]]
        async for headers, _ in last_of(js, names.retry_stream(uid), subjects):
            found.add(int(headers["Nats-Subject"].rsplit(".", 1)[1]))
    return found


async def discard(js: JetStream, names: Names, uid: str, letter: DeadLetter) -> None:
    """Leave a tombstone in its place: without the payload, and still a failure. Raises Conflict where it is another."""
    outcome = replace(letter.outcome, reason=DISCARDED, body=b"")
    headers = outcome.headers() | {EXPECTED_LAST_SUBJECT_SEQUENCE: str(letter.sequence)}
    await js.publish(names.dead(uid, outcome.index), outcome.body, headers)
