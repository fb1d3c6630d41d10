"""One client that does the work of any number of runs: it takes each task as it comes and acknowledges it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from jobrun_worker.wire import CONSUMER, Names

_BATCH = 100
_EXPIRES = 30
"""Seconds that a request for tasks waits at the broker."""
_RETRY = 0.25
"""Seconds after which what is not there is asked again."""
_NOTHING_THERE = "503"
_NANOSECONDS = 1_000_000_000


class Labourer:
    """On a broker without logins."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Client | None = None
        self._inbox = ""
        self._asked: dict[str, int] = {}
        """Tasks that may still come of a run's request."""
        self._asking: set[asyncio.Task[None]] = set()
        self.done: dict[str, int] = {}
        """Tasks acknowledged, by uid."""
        self.total = 0

    async def __aenter__(self) -> Self:
        self._client = await nats.connect(self._url)
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_message)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()

    @property
    def client(self) -> Client:
        assert self._client is not None
        return self._client

    def take_on(self, uids: Iterable[str]) -> None:
        """Begin to work for these runs, as soon as their streams are there."""
        for uid in uids:
            self.done[uid] = 0
            self._ask(uid)

    def _ask(self, uid: str) -> None:
        asking = asyncio.create_task(self._request(uid))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _request(self, uid: str) -> None:
        self._asked[uid] = _BATCH
        request = json.dumps({"batch": _BATCH, "expires": _EXPIRES * _NANOSECONDS}).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{Names().work_stream(uid)}.{CONSUMER}"
        await self.client.publish(subject, request, reply=f"{self._inbox}.{uid}")

    async def _on_message(self, message: Msg) -> None:
        if self.client.is_closed:  # what had come by then is nobody's any more
            return
        uid = message.subject.rsplit(".", 1)[1]
        if not message.reply:  # a status: there is no stream yet, or the request has ended
            wait = _RETRY if (message.headers or {}).get("Status") == _NOTHING_THERE else 0.0
            asyncio.get_running_loop().call_later(wait, self._ask, uid)
            return
        await self.client.publish(message.reply, b"+ACK")
        self.done[uid] += 1
        self.total += 1
        self._asked[uid] -= 1
        if not self._asked[uid]:
            self._ask(uid)
