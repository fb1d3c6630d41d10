"""Releases tasks: atomic batches behind an expected last sequence.

Source: ADR-50 (JetStream batch publishing). Every message carries the batch's id and its own number in it; the
first also carries ``Nats-Expected-Last-Sequence``, the last asks for the commit and is the only one answered.
A batch is stored whole or not at all, so task ``i`` is at sequence ``i + 1`` and nowhere else, whoever else
releases at the same time. After an error nothing is known: the caller reads ``last_seq`` and goes on from there.

The first task of a run is a batch also where it is alone. nats-server (2.15.1) counts the very first message of a
stream in ``last_seq`` although the disk was full, and its index would be gone for good; what a batch can't stage takes
no sequence. Later messages that could not be written take none either (tried), and a batch of one costs ten times as
much as a plain message.
"""

from __future__ import annotations

from collections.abc import Sequence

import nats.errors
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
        headers = [
            {wire.BATCH_ID: batch, wire.BATCH_SEQUENCE: str(number)} for number in range(1, len(payloads) + 1)
        ]
        headers[0][wire.EXPECTED_LAST_SEQUENCE] = str(after)
        headers[-1][wire.BATCH_COMMIT] = "1"
        try:
            for payload, header in zip(payloads[:-1], headers[:-1], strict=True):
                await self._js.client.publish(subject, payload, headers=header)
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable(f"releasing stopped in mid-batch ({type(error).__name__})") from error
        reply = await self._js.request(subject, payloads[-1], headers[-1])
        return int(checked(decoded(reply.data, subject), subject)["seq"])
