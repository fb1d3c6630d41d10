"""The client library's connection, made to last: the same for operator, workers and people's commands.

The library takes most errors that a broker sends for the end: after an expired credential, an account over its
limits or a protocol error the client is closed for good, whatever ``max_reconnect_attempts`` says. Here such a
connection is made again, with the credentials as they are then. And what the broker has refused or denied is
remembered, since neither gets an answer: it would look like a broker that is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from jobrun_worker.address import BrokerAddress
from jobrun_worker.denials import Denial, Denials
from jobrun_worker.parsing import BulkParser, Sink
from jobrun_worker.requests import Requests, obey_cancellation

CLOSE_SECONDS = 5.0
"""For which a connection may take to close; the library can wait for ever for one that is just being made."""

DENIED_SECONDS = 30.0
"""After which an inbox that was denied is asked for again, by another connection: the broker looks at it only once."""

_REFUSALS = ("authorization violation", "user authentication expired", "user authentication revoked")
"""With which a broker ends a connection that it will not take (nats-server, ``server/client.go``)."""


def is_refusal(error: BaseException | str) -> bool:
    """Whether the broker has not let this user in, or not any more."""
    return any(sign in str(error).lower() for sign in _REFUSALS)


class LastingClient(Client):
    def __init__(self, address: BrokerAddress, inbox: str) -> None:
        """``inbox``: the prefix under which answers come."""
        super().__init__()
        self._ps: BulkParser = BulkParser(self)
        self.address = address
        self.inbox = inbox
        self._requests = Requests(self)
        self._denials = Denials(inbox)
        self._refusal = ""
        self._connected_at = 0.0

    def why_silent(self, subject: str, since: float) -> str:
        """Why what was published to ``subject`` at ``since`` (of the loop's clock) got no answer, as far as that is
        known here: a sentence for a user to act on, or empty."""
        if self._refusal:
            return f"the broker does not let this user in ({self._refusal}): {self.address.how_to_log_in}"
        if not self.is_connected:
            return f"there is no connection to the broker at {self.address.shown}"
        return self._denials.why(subject, since)

    def away(self, now: float) -> float:
        """Seconds for which this has been without a connection, as seen by whoever asks now and then; infinite where it
        is closed. ``now``: of any clock that doesn't go back, always the same one."""
        if self.is_closed:
            return float("inf")
        if self.is_connected or not self._connected_at:
            self._connected_at = now
        return now - self._connected_at

    def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Coroutine[Any, Any, Msg]:
        """The library's, by a shorter way; ``old_style`` makes no difference."""
        return self._requests.ask(subject, payload, headers, timeout)

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

    @property
    def is_congested(self) -> bool:
        """More waits to be sent than the library lets wait: what has time is to wait before it adds to it."""
        return bool(self._pending_data_size > self._max_pending_size)

    def write(self, commands: bytes) -> None:
        """Whole operations of the protocol, many at once, while connected: sent soon, and in the order of saying."""
        self._pending.append(commands)
        self._pending_data_size += len(commands)
        if self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def close(self) -> None:
        self._requests.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                try:
                    await super().close()
                except asyncio.CancelledError:
                    # It cancels its attempt to reconnect, and where that waits for the same transport to close, its own
                    # wait with it. Who closes was not cancelled by that.
                    obey_cancellation()

    async def _connect_to_server(self, s: Any) -> None:
        """What the library calls for each attempt: with the files of the login as they are now (Kubernetes renews a
        mounted Secret in place). What can't be read for the moment leaves what was."""
        with contextlib.suppress(ValueError):
            self.options |= self.address.login()
        await super()._connect_to_server(s)

    async def _process_connect_init(self) -> None:
        """What the library calls to log in, at each attempt."""
        try:
            await super()._process_connect_init()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            self._refusal = str(error).removeprefix("nats: ").strip("'") if is_refusal(error) else ""
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]  # the library forgets it at the next attempt, open as it is
            raise
        self._refusal = ""
        self._denials.forget()

    async def _process_err(self, err_msg: str) -> None:
        """What the library calls for an ``-ERR`` of the broker (nats-py 2.16, ``Client._process_err``)."""
        loop = asyncio.get_running_loop()
        denial = Denial.parse(err_msg)
        if denial is not None:
            if self._denials.add(
                denial, loop.time()
            ):  # told once: what asks again and again is denied each time
                await super()._process_err(err_msg)
                if self._denials.of_inbox:
                    loop.call_later(DENIED_SECONDS, self._connect_anew, self._client_id)
            return
        error = nats.errors.Error(f"nats: {err_msg.strip(chr(39))}")
        await self._error_cb(error)
        await self._process_op_err(error)

    def _connect_anew(self, denied: int | None) -> None:
        """Unless that connection has been replaced since."""
        if self.is_connected and self._client_id == denied:
            self._anew = asyncio.get_running_loop().create_task(self.force_reconnect())
