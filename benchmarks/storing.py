"""An experiment: other ways to store tasks next to atomic batches, as docs/performance.md tells of it.

``PYTHONPATH=.:tests python -m benchmarks.storing [TASKS]``, on a nats-server with its default settings and on one that
syncs what it stores before it answers (``sync_interval: always``), as the chart's does.

- ``atomic``: what JobRun does. ``atomic, two in flight`` sends the next batch before the last one is answered.
- ``fast``: ADR-50, "Fast-ingest Batch Publishing" (``allow_batched``, nats-server 2.14). A fast batch is not atomic:
  each message is stored as it comes, and messages of others may come in between. What keeps each index once (G1) is
  then an expected last sequence on every message, where an atomic batch needs one for a thousand; ``fast unguarded``
  is without.
- ``plain``: publishes with an expected last sequence each, of which the last of a thousand is answered: where one is
  refused, all behind it are.

With a sync for each message the ways that store single messages do a tenth of the tasks.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections import deque
from pathlib import Path

from nats.aio.msg import Msg

from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_worker.address import BrokerAddress
from jobrun_worker.wire import EXPECTED_LAST_SEQUENCE, Names
from support.nats_server import NatsServer

ROUNDS = 5
CHUNK = 1000
"""Tasks written as one buffer."""
FLOW = 1000
"""Messages that the server is asked to acknowledge together; it may choose fewer."""
OUTSTANDING = 2
"""Acknowledgements waited for at most, as the ADR advises."""
WAYS = ("atomic", "atomic, two in flight", "fast", "fast unguarded", "plain")
SHARE = 10
"""A sync for each message makes those ways that store single ones so slow that this part of the tasks is enough."""
_LIMIT = 60.0


async def atomic(js: JetStream, uid: str, payloads: list[bytes], *, in_flight: int) -> None:
    publisher = JetStreamPublisher(js, Names())
    flying: deque[asyncio.Task[int]] = deque()
    for after in range(0, len(payloads), CHUNK):
        if len(flying) == in_flight:
            await flying.popleft()
        batch = publisher.release(uid, after, payloads[after : after + CHUNK])
        flying.append(asyncio.create_task(batch))
    await asyncio.gather(*flying)


async def plain(js: JetStream, uid: str, payloads: list[bytes]) -> None:
    subject = Names().work_subject(uid)
    for after in range(0, len(payloads), CHUNK):
        *silent, last = payloads[after : after + CHUNK]
        js.client.write(b"".join(_publish(subject, after + n, payload) for n, payload in enumerate(silent)))
        expected = {EXPECTED_LAST_SEQUENCE: str(after + len(silent))}
        await js.publish(subject, last, expected)


class _Fast:
    """One batch: how far it is acknowledged, and how often it will be."""

    def __init__(self) -> None:
        self.stored = 0
        self.every = 1
        self.committed = False
        self.heard = asyncio.Event()

    async def on_message(self, message: Msg) -> None:
        told = json.loads(message.data)
        if told.get("type") == "ack":
            self.stored, self.every = told["seq"], told["msgs"]
        elif "error" in told or told.get("type") == "gap":
            raise SystemExit(f"the server ended the batch: {told}")
        else:
            self.committed = True
        self.heard.set()

    async def until(self, stored: int) -> None:
        while self.stored < stored and not self.committed:
            self.heard.clear()
            await asyncio.wait_for(self.heard.wait(), _LIMIT)


async def fast(js: JetStream, uid: str, payloads: list[bytes], *, guarded: bool) -> None:
    batch = _Fast()
    prefix = f"{js.client.new_inbox()}.{uuid.uuid4().hex}"
    await js.client.subscribe(f"{prefix}.>", cb=batch.on_message)
    await js.client.flush()
    subject, total = Names().work_subject(uid), len(payloads)
    js.client.write(_message(subject, prefix, 1, 0, payloads[0], guarded))
    await asyncio.wait_for(batch.heard.wait(), _LIMIT)  # it says how often it acknowledges
    sent = 1
    while sent < total:
        await batch.until(sent - batch.every * OUTSTANDING)
        upto = min(total, sent + CHUNK)
        js.client.write(
            b"".join(
                _message(subject, prefix, n, 2 if n == total else 1, payloads[n - 1], guarded)
                for n in range(sent + 1, upto + 1)
            )
        )
        sent = upto
    while not batch.committed:
        batch.heard.clear()
        await asyncio.wait_for(batch.heard.wait(), _LIMIT)


def _message(subject: str, prefix: str, number: int, operation: int, payload: bytes, guarded: bool) -> bytes:
    reply = f"{prefix}.{FLOW}.fail.{number}.{operation}.$FI"
    if not guarded:
        return f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n"
    return _publish(f"{subject} {reply}", number - 1, payload)


def _publish(subjects: str, expected: int, payload: bytes) -> bytes:
    header = f"NATS/1.0\r\n{EXPECTED_LAST_SEQUENCE}: {expected}\r\n\r\n".encode()
    sizes = f"{len(header)} {len(header) + len(payload)}"
    return f"HPUB {subjects} {sizes}\r\n".encode() + header + payload + b"\r\n"


async def store(way: str, js: JetStream, uid: str, payloads: list[bytes]) -> None:
    match way:
        case "atomic":
            await atomic(js, uid, payloads, in_flight=1)
        case "atomic, two in flight":
            await atomic(js, uid, payloads, in_flight=2)
        case "plain":
            await plain(js, uid, payloads)
        case _:
            await fast(js, uid, payloads, guarded=way == "fast")


async def measure(folder: Path, settings: str, tasks: int, *, share: int) -> None:
    """``share``: the ways that store single messages do so much less."""
    payloads = [b'{"index": %d}' % index for index in range(tasks)]
    counts = {way: tasks if way.startswith("atomic") else tasks // share for way in WAYS}
    rates: dict[str, list[float]] = {}
    async with NatsServer(folder, jetstream=settings) as server:
        client = await connect(BrokerAddress(server.url), "benchmark")
        js = JetStream(client)
        for way in WAYS * ROUNDS:
            uid = uuid.uuid4().hex
            stream = {"name": uid, "subjects": [Names().work_subject(uid)], "retention": "workqueue"}
            await js.api(f"STREAM.CREATE.{uid}", stream | {"allow_atomic": True, "allow_batched": True})
            begun = time.perf_counter()
            await store(way, js, uid, payloads[: counts[way]])
            rates.setdefault(way, []).append(counts[way] / (time.perf_counter() - begun))
            state = (await js.api(f"STREAM.INFO.{uid}"))["state"]
            if state["last_seq"] != counts[way]:
                raise SystemExit(f"{way}: stored {state['last_seq']} instead of {counts[way]}")
            await js.api(f"STREAM.DELETE.{uid}")
        await close(client)
    print(f"{settings or 'default settings'}, {ROUNDS} rounds")
    for way, found in rates.items():
        print(
            f"  {way:<22} {statistics.median(found):>9,.0f} tasks/s  ({min(found):,.0f} to {max(found):,.0f};"
            f" {counts[way]:,} tasks)"
        )


async def main(tasks: int) -> None:
    with tempfile.TemporaryDirectory(prefix="jobrun-bench-") as folder:
        await measure(Path(folder) / "lazy", "", tasks, share=1)
        await measure(Path(folder) / "always", "sync_interval: always", tasks, share=SHARE)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
