"""Releases tasks: atomic batches behind an expected last sequence.

Source: ADR-50 (JetStream batch publishing). Every message carries the batch's id and its own number in it; the
first also carries ``Nats-Expected-Last-Sequence``, the last asks for the commit and is the only one answered.
A batch is stored whole or not at all, so task ``i`` is at sequence ``i + 1`` and nowhere else, whoever else
releases at the same time. After an error nothing is known: the caller reads ``last_seq`` and goes on from there.

All but the last message are written in a few buffers: the client's own ``publish`` costs as much for each task as all
the rest of releasing together, and one buffer would reach the broker only when all of it is put together. Batches may
follow each other before they are answered: the broker compares the expected sequence when it commits, so that one
behind a batch that was refused is refused as well. Who is cancelled, or loses the connection, between two buffers
leaves a batch without its commit behind, which the broker forgets after some seconds.

The first task of a run is a batch also where it is alone. nats-server (2.15.1) counts the very first message of a
stream in ``last_seq`` although the disk was full, and its index would be gone for good; what a batch can't stage takes
no sequence. Later messages that could not be written take none either (tried), and a batch of one costs ten times as
much as a plain message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nats import nuid

from jobrun_operator.errors import BrokerUnavailable
from jobrun_operator.jetstream.client import JetStream, checked, decoded
from jobrun_worker import wire
from jobrun_worker.wire import Names

_PART = 250
"""Messages that are written at once: while the broker begins with them, the next ones are put together."""


class JetStreamPublisher:
    """The ``Publisher`` port."""

    def __init__(self, js: JetStream, names: Names) -> None:
        self._js = js
        self._names = names
        self._ids = nuid.NUID()

    async def release(self, uid: str, after: int, payloads: Sequence[bytes]) -> int:
        subject = self._names.work_subject(uid)
        if len(payloads) == 1 and after:
            answer = await self._js.publish(subject, payloads[0], {wire.EXPECTED_LAST_SEQUENCE: str(after)})
            return int(answer["seq"])
        batch = self._ids.next().decode()
        headers = {wire.BATCH_ID: batch, wire.BATCH_SEQUENCE: str(len(payloads)), wire.BATCH_COMMIT: "1"}
        if len(payloads) == 1:
            headers[wire.EXPECTED_LAST_SEQUENCE] = str(after)
        else:
            for begin in range(0, len(payloads) - 1, _PART):
                if begin:
                    await asyncio.sleep(0)  # what was written is sent, and the broker begins with it
                if not self._js.client.is_connected:
                    raise BrokerUnavailable(self._js.client.why_silent(subject, 0.0))
                end = min(begin + _PART, len(payloads) - 1)
                self._js.client.write(_messages(subject, batch, after, payloads, begin, end))
        reply = await self._js.request(subject, payloads[-1], headers)
        return int(checked(decoded(reply.data, subject), subject)["seq"])


def _messages(subject: str, batch: str, after: int, payloads: Sequence[bytes], begin: int, end: int) -> bytes:
    """Those of a batch from index ``begin`` to ``end``, as ``HPUB`` operations (source: the NATS client protocol)."""
    head = f"NATS/1.0\r\n{wire.BATCH_ID}: {batch}\r\n{wire.BATCH_SEQUENCE}: "
    written: list[bytes] = []
    while begin < end:
        number = begin + 1
        # Numbers of as many digits have headers of one size: with it, a message is put together in one step.
        upto = min(end, 10 ** len(str(number)) - 1) if begin else 1
        tail = "\r\n\r\n" if begin else f"\r\n{wire.EXPECTED_LAST_SEQUENCE}: {after}\r\n\r\n"
        size = len(f"{head}{number}{tail}")
        message = f"HPUB {subject} {size} %d\r\n{head}%d{tail}%b\r\n".encode()
        numbered = enumerate(payloads[begin:upto], number)
        written += [message % (size + len(payload), number, payload) for number, payload in numbered]
        begin = upto
    return b"".join(written)
