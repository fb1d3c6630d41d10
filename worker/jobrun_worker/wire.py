"""The wire contract: names and records that the operator and its workers share on JetStream.

Both sides import this module, and nothing else of the other side. It does no I/O.

Names: one work-queue stream a run, whose message at sequence ``i + 1`` is task ``i``; one stream of outcomes a
run, with one message a subject; and, once there are dead letters, one that asks for their retries. Records: an
*outcome* ends a task (the first one stored wins, and only a retry takes the place of a dead letter); an *attempt*
record carries what failed or was handed back, because JetStream's delivery count also rises for a task that
was only in the wrong worker at the wrong time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

SCHEMA_VERSION = "1"
"""Of streams and records; kept in each stream's metadata as ``jobrun-schema``."""

CONSUMER = "workers"
"""The durable pull consumer that all workers of a run share."""

EXPECTED_LAST_SEQUENCE = "Nats-Expected-Last-Sequence"
EXPECTED_LAST_SUBJECT_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
BATCH_ID = "Nats-Batch-Id"
BATCH_SEQUENCE = "Nats-Batch-Sequence"
BATCH_COMMIT = "Nats-Batch-Commit"

WRONG_LAST_SEQUENCE = 10071
"""JetStream's err_code where an expected sequence (of stream or subject) was not the last."""

DISCARDED = "Discarded"
"""Reason of a dead letter that a person has given up: its payload is gone, and it still counts as failed."""

PAYLOAD_MARGIN = 64 * 1024
"""Bytes of the broker's ``max_payload`` kept for headers: a larger task payload is refused."""


_MOST_ATTEMPTS = 10**9
"""In one pulse: more is no pulse of ours."""

_NO_TIME = 253_402_300_800_000_000_000
"""Nanoseconds since the epoch at the beginning of the year 10000, which RFC 3339 can't write."""


@dataclass(frozen=True, slots=True)
class Names:
    """Streams and subjects of one installation; ``prefix`` is a setting, ``jobrun`` by default."""

    prefix: str = "jobrun"

    def work_stream(self, uid: str) -> str:
        return f"{self.prefix}_{uid}"

    def work_subject(self, uid: str) -> str:
        return f"{self.prefix}.work.{uid}"

    def out_stream(self, uid: str) -> str:
        return f"{self.prefix}_{uid}_out"

    def out_subjects(self, uid: str) -> list[str]:
        return [f"{self.prefix}.out.{uid}.end.*.*", f"{self.prefix}.out.{uid}.attempt.*"]

    def ok(self, uid: str, index: int | str) -> str:
        return f"{self.prefix}.out.{uid}.end.ok.{index}"

    def dead(self, uid: str, index: int | str) -> str:
        return f"{self.prefix}.out.{uid}.end.dead.{index}"

    def end(self, uid: str, index: int | str) -> str:
        """Both outcomes of a task: what "the first outcome wins" is checked against."""
        return f"{self.prefix}.out.{uid}.end.*.{index}"

    def retried(self, uid: str, index: int | str) -> str:
        """A success that takes the place of a dead letter: the engine makes it the task's outcome."""
        return f"{self.prefix}.out.{uid}.end.retried.{index}"

    def attempt(self, uid: str, index: int | str) -> str:
        """Of a task, by its index; of a retry of its dead letter, by ``<index>-<sequence of the request>``."""
        return f"{self.prefix}.out.{uid}.attempt.{index}"

    def retry_stream(self, uid: str) -> str:
        return f"{self.prefix}_{uid}_retry"

    def retry(self, uid: str, index: int | str) -> str:
        """Where it is asked that a dead letter is retried."""
        return f"{self.prefix}.retry.{uid}.{index}"

    def pulse(self, uid: str) -> str:
        """Where workers tell how attempts fare; nothing of it is stored."""
        return f"{self.prefix}.pulse.{uid}"

    def again(self, uid: str) -> str:
        """Where the engine permits retries, at the run's rate; nothing of it is stored."""
        return f"{self.prefix}.again.{uid}"


def format_time(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC with microseconds."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{_whole_seconds(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=64)
def _whole_seconds(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


class Delivery(NamedTuple):
    """What JetStream says of a delivered message in its reply subject.

    Source: ADR-15, the subject ``$JS.ACK.[<domain>.<account hash>.]<stream>.<consumer>.<delivered>.<stream
    sequence>.<consumer sequence>.<timestamp>.<pending>[.<token>]``.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which means nothing here
    delivered: int
    """Deliveries of this task so far, this one included."""
    released_ns: int
    """When the broker stored the task: nanoseconds since the epoch."""

    @classmethod
    def parse(cls, reply: bytes) -> Delivery:
        """Raises ValueError where ``reply`` is not JetStream's."""
        tokens = reply.split(b".")
        if len(tokens) > 10:
            tokens = (
                tokens[:2] + tokens[4:11]
            )  # without domain, account hash and what follows the pending ones
        try:
            js, ack, _, _, deliveries, number, _, stored, _ = tokens
            delivered, sequence, timestamp = int(deliveries), int(number), int(stored)
        except ValueError as error:
            raise ValueError(f"not a JetStream reply subject: {reply!r}") from error
        if js != b"$JS" or ack != b"ACK" or sequence < 1 or delivered < 1 or not 0 <= timestamp < _NO_TIME:
            raise ValueError(f"not a delivery of JetStream: {reply!r}")
        # As ``cls(...)``, in half the time.
        return tuple.__new__(cls, (sequence - 1, delivered, timestamp))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended. ``body`` is the handler's result (JSON) of a success, the raw payload of a dead letter."""

    index: int
    succeeded: bool
    body: bytes
    attempts: int
    worker: str
    released_at: str
    started_at: str
    finished_at: str
    reason: str = ""
    """Why it failed: MaxAttempts, HandlerFailed, WorkerLost or Discarded. Empty for a success."""
    error: str = ""

    def headers(self) -> dict[str, str]:
        return {
            "Jobrun-Attempts": str(self.attempts),
            "Jobrun-Worker": self.worker,
            "Jobrun-Released-At": self.released_at,
            "Jobrun-Started-At": self.started_at,
            "Jobrun-Finished-At": self.finished_at,
        } | ({} if self.succeeded else {"Jobrun-Reason": self.reason, "Jobrun-Error": json.dumps(self.error)})

    @classmethod
    def parse(cls, subject: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Raises ValueError where the record is not one of ours."""
        *_, kind, index = subject.split(".")
        if kind not in ("ok", "dead", "retried"):
            raise ValueError(f"not an outcome's subject: {subject!r}")
        error = headers.get("Jobrun-Error")
        return cls(
            index=int(index),
            succeeded=kind != "dead",
            body=body,
            attempts=int(headers.get("Jobrun-Attempts", "")),
            worker=headers.get("Jobrun-Worker", ""),
            released_at=headers.get("Jobrun-Released-At", ""),
            started_at=headers.get("Jobrun-Started-At", ""),
            finished_at=headers.get("Jobrun-Finished-At", ""),
            reason=headers.get("Jobrun-Reason", ""),
            error=str(_json(error)) if error else "",
        )


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What became of a task's earlier deliveries; stored before each nak."""

    failures: int = 0
    returns: int = 0
    """Handed back without a fault of the task: a drain, or a hold asked for by the handler."""
    error: str = ""
    """Of the last failed attempt, shortened."""

    def lost(self, delivered: int) -> int:
        """Deliveries before this one of which nothing is known: their worker was lost with them."""
        return max(0, delivered - 1 - self.failures - self.returns)

    def encode(self) -> bytes:
        return json.dumps({"failures": self.failures, "returns": self.returns, "error": self.error}).encode()

    @classmethod
    def decode(cls, body: bytes) -> AttemptRecord:
        """Raises ValueError where the record is not one of ours."""
        value = _json(body)
        if not isinstance(value, dict):
            raise ValueError("an attempt record is a JSON object")
        failures, returns, error = value.get("failures"), value.get("returns"), value.get("error", "")
        if not isinstance(failures, int) or not isinstance(returns, int) or not isinstance(error, str):
            raise ValueError(
                "an attempt record has whole numbers 'failures' and 'returns' and a text 'error'"
            )
        return cls(failures=max(0, failures), returns=max(0, returns), error=error)


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """What asks for a retry of a dead letter: which task's, and which of its dead letters."""

    index: int
    dead_letter: int
    """Sequence of its message in the stream of outcomes: one that was written since is another one."""

    def encode(self) -> bytes:
        return json.dumps({"index": self.index, "deadLetter": self.dead_letter}).encode()

    @classmethod
    def decode(cls, body: bytes) -> RetryRequest:
        """Raises ValueError where the record is not one of ours."""
        value = _json(body)
        index, dead_letter = (
            (value.get("index"), value.get("deadLetter")) if isinstance(value, dict) else (0, 0)
        )
        if type(index) is not int or type(dead_letter) is not int or index < 0 or dead_letter < 1:
            raise ValueError("a request for a retry has whole numbers 'index' and 'deadLetter'")
        return cls(index, dead_letter)


@dataclass(frozen=True, slots=True)
class Pulse:
    """The attempts that have ended in one worker since its last pulse."""

    succeeded: int
    failed: int
    tail: int
    """How many of the failed ones came after the last success."""
    error: str = ""
    """Of the last failed attempt."""

    def encode(self) -> bytes:
        return json.dumps(
            {"succeeded": self.succeeded, "failed": self.failed, "tail": self.tail, "error": self.error}
        ).encode()

    @classmethod
    def decode(cls, body: bytes) -> Pulse:
        """Raises ValueError where it is none of ours."""
        value = _json(body)
        if not isinstance(value, dict):
            raise ValueError("a pulse is a JSON object")
        numbers = [
            number
            for name in ("succeeded", "failed", "tail")
            if type(number := value.get(name)) is int and 0 <= number <= _MOST_ATTEMPTS
        ]
        error = value.get("error", "")
        if len(numbers) < 3 or not isinstance(error, str):
            raise ValueError(
                "a pulse has the whole numbers 'succeeded', 'failed' and 'tail' and a text 'error'"
            )
        succeeded, failed, tail = numbers
        return cls(succeeded, failed, min(tail, failed), error)


MOST_PERMITS = 1000
"""In one message: as many tasks as one worker has at a time."""


def permits(body: bytes) -> int:
    """How many retries one message permits; 0 for what is no permit of ours."""
    return min(int(body), MOST_PERMITS) if body.isdigit() and len(body) < 10 else 0


def _json(text: str | bytes) -> Any:
    """Raises ValueError, also for what is nested too deep to be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
