"""What a run has left: read off the streams and the handlers' log, by a client that knows nothing of the engine.

Names of streams and headers are written out here on purpose: they are the contract, and a checker that took them from
the code that it checks would agree with its mistakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client

from support.measure import nanoseconds

_AT_ONCE = 64
"""Requests under way."""
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
        out = await _api(client, f"STREAM.INFO.jobrun_{uid}_out")
        outcomes = await _outcomes(client, uid, out["state"]["last_seq"])
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


async def _outcomes(client: Client, uid: str, last_seq: int) -> list[Ended]:
    found: list[Ended] = []
    slots = asyncio.Semaphore(_AT_ONCE)

    async def read(sequence: int) -> None:
        async with slots:
            request = json.dumps({"seq": sequence}).encode()
            answer = await client.request(f"$JS.API.DIRECT.GET.jobrun_{uid}_out", request, timeout=30)
        headers = answer.headers or {}
        subject = headers.get("Nats-Subject", "").split(".")
        if headers.get("Status") == "404" or subject[3:4] != ["end"]:
            return  # a newer message of its subject has taken its place, or it is no outcome
        found.append(
            Ended(
                index=int(subject[5]),
                kind=subject[4],
                body=answer.data,
                reason=headers.get("Jobrun-Reason", ""),
                attempts=int(headers["Jobrun-Attempts"]),
                released=nanoseconds(headers["Jobrun-Released-At"]),
            )
        )

    await asyncio.gather(*(read(sequence) for sequence in range(1, last_seq + 1)))
    return found


async def _api(client: Client, subject: str) -> dict[str, Any]:
    answer = await client.request(f"$JS.API.{subject}", b"", timeout=30)
    value: dict[str, Any] = json.loads(answer.data)
    if "error" in value:
        raise AssertionError(f"{subject}: {value['error']}")
    return value
