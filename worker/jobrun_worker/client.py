"""The client library's connection, made to last: the same for operator, workers and people's commands.

The library takes most errors that a broker sends for the end: after an expired credential, an account over its
limits or a protocol error the client is closed for good, whatever ``max_reconnect_attempts`` says. Here such a
connection is made again, with the credentials as they are then. And what the broker has denied is remembered, since
a denied request gets no answer: it would look like a broker that is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from jobrun_worker.address import BrokerAddress
from jobrun_worker.parsing import BulkParser, Sink

_DENIAL = re.compile(r'permissions violation for (?:publish|subscription) to "([^"]+)"')


CLOSE_SECONDS = 5.0
"""For which a connection may take to close; the library can wait for ever for one that is just being made."""


class LastingClient(Client):
    def __init__(self, address: BrokerAddress) -> None:
        super().__init__()
        self._ps: BulkParser = BulkParser(self)
        self._address = address
        self.denied: set[str] = set()
        """Subjects that the broker has denied to this user, in lower case as it tells them."""
        self._connected_at = 0.0

    def away(self, now: float) -> float:
        """Seconds for which this has been without a connection, as seen by whoever asks now and then; infinite where it
        is closed. ``now``: of any clock that doesn't go back, always the same one."""
        if self.is_closed:
            return float("inf")
        if self.is_connected or not self._connected_at:
            self._connected_at = now
        return now - self._connected_at

    async def take(self, subject: str, sink: Sink, cb: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """Subscribe: messages with a reply subject go to ``sink`` in bulk, others to ``cb``."""
        subscription = await self.subscribe(subject, cb=cb)
        self._ps.sinks[b"%d" % subscription._id] = sink
        return subscription

    async def take_answers(self, subject: str, sink: Sink, cb: Callable[[Msg], Awaitable[None]]) -> None:
        """Subscribe for good: what has no reply subject and no headers goes to ``sink`` in bulk, the rest to ``cb``."""
        subscription = await self.subscribe(subject, cb=cb)
        self._ps.answers[b"%d" % subscription._id] = sink

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        """What the library calls where a subscription ends."""
        self._ps.sinks.pop(b"%d" % sid, None)
        super()._remove_sub(sid, max_msgs)

    def write(self, commands: bytes) -> None:
        """Whole operations of the protocol, many at once, while connected: sent soon, and in the order of saying."""
        self._pending.append(commands)
        self._pending_data_size += len(commands)
        if self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await super().close()

    async def _connect_to_server(self, s: Any) -> None:
        """What the library calls for each attempt: with authority and certificate as they are now (Kubernetes renews a
        mounted Secret in place). Files that can't be read for the moment leave the ones that were."""
        with contextlib.suppress(ValueError):
            if (tls := self._address.tls()) is not None:
                self.options["tls"] = tls
        await super()._connect_to_server(s)

    async def _process_err(self, err_msg: str) -> None:
        """What the library calls for an ``-ERR`` of the broker (nats-py 2.16, ``Client._process_err``)."""
        denial = _DENIAL.search(err_msg.lower())
        if denial is not None:
            self.denied.add(denial[1])
            await super()._process_err(err_msg)
            return
        error = nats.errors.Error(f"nats: {err_msg.strip(chr(39))}")
        await self._error_cb(error)
        await self._process_op_err(error)
