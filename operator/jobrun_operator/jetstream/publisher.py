"""Releases tasks: atomic batches behind an expected last sequence.

Source: ADR-50 (JetStream batch publishing). Every message carries the batch's id and its own number in it; the
first also carries ``Nats-Expected-Last-Sequence``, the last asks for the commit and is the only one answered.
A batch is stored whole or not at all, so task ``i`` is at sequence ``i + 1`` and nowhere else, whoever else
releases at the same time. After an error nothing is known: the caller reads ``last_seq`` and goes on from there.

All but the last message are written as one buffer: the client's own ``publish`` costs as much for each task as all the
rest of releasing together. Batches may follow each other before they are answered: the broker compares the expected
sequence when it commits, so that one behind a batch that was refused is refused as well.

The first task of a run is a batch also where it is alone. nats-server (2.15.1) counts the very first message of a
stream in ``last_seq`` although the disk was full, and its index would be gone for good; what a batch can't stage takes
no sequence. Later messages that could not be written take none either (tried), and a batch of one costs ten times as
much as a plain message.
"""

from __future__ import annotations

from collections.abc import Sequence

from nats import nuid

from jobrun_operator.errors import BrokerUnavailable
from jobrun_operator.jetstream.client import JetStream, checked, decoded
from jobrun_worker import wire
from jobrun_worker.wire import Names


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
            if not self._js.client.is_connected:
                raise BrokerUnavailable(self._js.client.why_silent(subject, 0.0))
            self._js.client.write(_opening(subject, batch, after, payloads))
        reply = await self._js.request(subject, payloads[-1], headers)
        return int(checked(decoded(reply.data, subject), subject)["seq"])


def _opening(subject: str, batch: str, after: int, payloads: Sequence[bytes]) -> bytes:
    """All messages of a batch but the last, as ``HPUB`` operations (source: the NATS client protocol)."""
    head = f"NATS/1.0\r\n{wire.BATCH_ID}: {batch}\r\n{wire.BATCH_SEQUENCE}: ".encode()
    first = f"\r\n{wire.EXPECTED_LAST_SEQUENCE}: {after}".encode()
    command = f"HPUB {subject} ".encode()
    written = []
    for number, payload in enumerate(payloads[:-1], start=1):
        header = b"%b%d%b\r\n\r\n" % (head, number, first if number == 1 else b"")
        size = len(header)
        written.append(b"%b%d %d\r\n%b%b\r\n" % (command, size, size + len(payload), header, payload))
    return b"".join(written)
