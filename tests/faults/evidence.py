"""What a run has left: read off the streams and the handlers' log, by a client that knows nothing of the engine.

Names of streams and headers are written out here on purpose: they are the contract, and a checker that took them from
the code that it checks would agree with its mistakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client

from support.measure import nanoseconds

_AT_ONCE = 1000
"""Outcomes of one request."""
_ANSWER_SECONDS = 30
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Ended:
    """One outcome, as it is stored."""

    index: int
    kind: str
    """``ok`` or ``dead``."""
    body: bytes
    reason: str
    attempts: int
    released: int
    """When the broker stored the task, by its own clock: nanoseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A line of the handlers' log."""

    begins: bool
    index: int
    payload_index: int
    attempt: int
    pid: int
    time: int
    """Nanoseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Evidence:
    last_seq: int
    left: int
    """Messages in the stream of work."""
    outcomes: tuple[Ended, ...]
    log: tuple[Logged, ...]
    status: Mapping[str, Any]
    redelivered: int
    """Deliveries beyond the first of each task, as the consumer counts them."""
    most_waiting: int = 0
    """Most tasks that waited for a worker, at any look while the run went on."""
    processes: tuple[str, ...] = ()
    """What was still running after the end."""


def read_log(path: Path) -> tuple[Logged, ...]:
    if not path.exists():
        return ()
    lines = (line.split() for line in path.read_text().splitlines())
    return tuple(Logged(letter == "b", *map(int, rest)) for letter, *rest in lines)


async def gather(url: str, uid: str, log: Path, status: Mapping[str, Any]) -> Evidence:
    """Of the broker at ``url``."""
    client = await nats.connect(url, connect_timeout=10)
    try:
        work = await _api(client, f"STREAM.INFO.jobrun_{uid}")
        consumer = await _api(client, f"CONSUMER.INFO.jobrun_{uid}.workers")
        outcomes = await _outcomes(client, uid)
    finally:
        await client.close()
    delivered = consumer["delivered"]
    return Evidence(
        last_seq=work["state"]["last_seq"],
        left=work["state"]["messages"],
        outcomes=tuple(sorted(outcomes, key=lambda one: one.index)),
        log=read_log(log),
        status=status,
        redelivered=max(0, delivered["consumer_seq"] - delivered["stream_seq"]),
    )


class Waiting:
    """Looks, as often as it can, how many tasks wait for a worker."""

    def __init__(self, uid: str) -> None:
        self._uid = uid
        self.most = 0

    async def watch(self, url: str) -> None:
        """Until cancelled."""
        client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=_ignore)
        try:
            while True:
                with contextlib.suppress(AssertionError, nats.errors.Error, OSError, TimeoutError):
                    consumer = await _api(client, f"CONSUMER.INFO.jobrun_{self._uid}.workers")
                    self.most = max(self.most, consumer["num_pending"])
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await client.close()


async def _ignore(_: Exception) -> None:
    """The broker is away now and then: that is what the runs are for."""


async def _outcomes(client: Client, uid: str) -> list[Ended]:
    """By batched direct gets, as ADR-31 has them."""
    found: list[Ended] = []
    inbox, sequence = client.new_inbox(), 1
    answers = await client.subscribe(inbox)
    while sequence:
        request = json.dumps({"seq": sequence, "batch": _AT_ONCE}).encode()
        await client.publish(f"$JS.API.DIRECT.GET.jobrun_{uid}_out", request, reply=inbox)
        sequence = 0
        while (answer := await answers.next_msg(timeout=_ANSWER_SECONDS)).headers:
            if "Status" in answer.headers:  # 204: the batch is over, 404: there is nothing more
                break
            sequence = int(answer.headers["Nats-Sequence"]) + 1
            subject = answer.headers["Nats-Subject"].split(".")
            if subject[3] == "end":  # else it is no outcome
                found.append(_ended(subject, answer.data, answer.headers))
    return found


def _ended(subject: Sequence[str], body: bytes, headers: Mapping[str, str]) -> Ended:
    return Ended(
        index=int(subject[5]),
        kind=subject[4],
        body=body,
        reason=headers.get("Jobrun-Reason", ""),
        attempts=int(headers["Jobrun-Attempts"]),
        released=nanoseconds(headers["Jobrun-Released-At"]),
    )


async def _api(client: Client, subject: str) -> dict[str, Any]:
    answer = await client.request(f"$JS.API.{subject}", b"", timeout=30)
    value: dict[str, Any] = json.loads(answer.data)
    if "error" in value:
        raise AssertionError(f"{subject}: {value['error']}")
    return value
