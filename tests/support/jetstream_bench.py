"""The broker's three ports on a real nats-server, and what workers do there in plain NATS: see ``broker_bench``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nats.aio.msg import Msg

from jobrun_operator.errors import BrokerUnavailable
from jobrun_operator.jetstream.client import REQUEST_TIMEOUT, JetStream, checked
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_worker import wire
from jobrun_worker.wire import AttemptRecord, Delivery, Outcome
from support.memory_broker import Taken


class JetStreamBench:
    def __init__(self, js: JetStream, installation: str = "here", *, reserves: bool = True) -> None:
        """``reserves``: streams have bounds, as on a cluster, so the broker needs room for them."""
        self.js = js
        bounds = {} if reserves else {"work_max_bytes": -1, "events_max_bytes": -1}
        self.settings = LayoutSettings(installation=installation, **bounds)
        self.names = self.settings.names
        self.streams = JetStreamWorkStreams(js, self.settings)
        self.observer = JetStreamObserver(js, self.settings)
        self.publisher = JetStreamPublisher(js, self.names)

    def sharing(self, installation: str) -> JetStreamBench:
        return JetStreamBench(self.js, installation)

    async def release_unanswered(self, uid: str, after: int, payloads: Sequence[bytes]) -> int:
        return await JetStreamPublisher(_Deaf(self.js.client), self.names).release(uid, after, payloads)

    async def bodies(self, uid: str) -> list[bytes]:
        depth = await self.observer.depth(uid)
        assert depth is not None
        found = []
        for seq in range(1, depth.last_seq + 1):
            reply = await self.js.request(
                f"$JS.API.DIRECT.GET.{self.names.work_stream(uid)}", json.dumps({"seq": seq}).encode()
            )
            if "Nats-Sequence" in (reply.headers or {}):
                found.append(reply.data)
        return found

    # --- what workers do --------------------------------------------------------------------------------

    async def take(self, uid: str, most: int) -> list[Taken]:
        client = self.js.client
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.names.work_stream(uid)}.{wire.CONSUMER}"
        await client.publish(subject, json.dumps({"batch": most, "no_wait": True}).encode(), reply=inbox)
        taken: list[Taken] = []
        while len(taken) < most:
            message = await subscription.next_msg(timeout=REQUEST_TIMEOUT)
            if not message.reply:
                break  # a status: there are no more
            taken.append(_taken(uid, message))
        await subscription.unsubscribe()
        return taken

    async def ack(self, task: Taken) -> None:
        await self._settle(task, b"+ACK")

    async def nak(self, task: Taken) -> None:
        await self._settle(task, b"-NAK")

    async def _settle(self, task: Taken, how: bytes) -> None:
        await self.js.request(_replies[task], how)

    async def store_outcome(self, uid: str, outcome: Outcome) -> bool:
        headers = outcome.headers() | {
            wire.EXPECTED_LAST_SUBJECT_SEQUENCE: "0",
            wire.EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT: self.names.end(uid, outcome.index),
        }
        answer = await self._publish(self._subject(uid, outcome), outcome.body, headers)
        error = answer.get("error")
        if error is not None:
            assert error["err_code"] == wire.WRONG_LAST_SEQUENCE
            return False
        return True

    async def overwrite_dead(self, uid: str, outcome: Outcome) -> None:
        checked(await self._publish(self._subject(uid, outcome), outcome.body, outcome.headers()), "")

    async def remove_dead(self, uid: str, index: int) -> None:
        out = self.names.out_stream(uid)
        found = await self.js.api(f"STREAM.MSG.GET.{out}", {"last_by_subj": self.names.dead(uid, index)})
        await self.js.api(f"STREAM.MSG.DELETE.{out}", {"seq": found["message"]["seq"]})

    async def store_attempt(self, uid: str, index: int, record: AttemptRecord) -> None:
        checked(await self._publish(self.names.attempt(uid, index), record.encode(), {}), "")

    def _subject(self, uid: str, outcome: Outcome) -> str:
        return (self.names.ok if outcome.succeeded else self.names.dead)(uid, outcome.index)

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        reply = await self.js.request(subject, body, headers or None)
        answer: dict[str, Any] = json.loads(reply.data)
        return answer

    # --- what goes wrong --------------------------------------------------------------------------------

    async def lose_consumer(self, uid: str) -> None:
        await self.js.api(f"CONSUMER.DELETE.{self.names.work_stream(uid)}.{wire.CONSUMER}")

    async def lose_counters(self, uid: str) -> None:
        for name in ("failed", "succeeded"):
            await self.js.api(f"CONSUMER.DELETE.{self.names.out_stream(uid)}.{name}")

    async def lose_work(self, uid: str) -> None:
        await self.js.api(f"STREAM.DELETE.{self.names.work_stream(uid)}")

    async def lose_outcomes(self, uid: str) -> None:
        await self.js.api(f"STREAM.DELETE.{self.names.out_stream(uid)}")


_replies: dict[Taken, str] = {}


def _taken(uid: str, message: Msg) -> Taken:
    delivery = Delivery.parse(message.reply.encode())
    task = Taken(uid, delivery.index + 1, message.data, delivery.delivered, delivery.released_ns / 1e9)
    _replies[task] = message.reply
    return task


class _Deaf(JetStream):
    """Hears no answer."""

    async def request(
        self,
        subject: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Msg:
        await super().request(subject, body, headers, timeout)
        raise BrokerUnavailable("no answer")
