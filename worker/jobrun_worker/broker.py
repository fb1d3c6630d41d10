"""The broker as the worker sees it: one connection that comes back, and four things to do with it.

Errors of the client library end here: a caller sees ``BrokerUnavailable`` (ask again later) or
``WrongLastSequence`` (somebody else has stored something first).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.aio.client import Server
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from jobrun_worker import denials, holding, wire
from jobrun_worker.address import WORKER_INBOX
from jobrun_worker.client import LastingClient, is_refusal
from jobrun_worker.denials import Denial
from jobrun_worker.errors import BrokerUnavailable, WrongLastSequence
from jobrun_worker.parsing import Sink
from jobrun_worker.settings import WorkerSettings

log = logging.getLogger(__name__)

REQUEST_TIMEOUT = 5.0
"""Seconds to wait for an answer of JetStream before asking again."""
MAX_RECONNECT_WAIT = 3.0
"""Seconds between attempts to connect, at most; the wait is jittered, so that workers don't come back as one. One
that goes unanswered takes two more: within five after the broker's return all of them work again."""
PING_INTERVAL = 10
"""Seconds; two pings without an answer and the connection is taken for dead."""
UNHEARD_SECONDS = 30.0
"""For which a denial counts that was not repeated: far longer than the pause between two requests for tasks."""
_ACK = b" 4\r\n+ACK\r\n"
"""Behind ``PUB`` and a reply subject."""
_ACK_AND_NEXT = _ACK + b"PUB "
_HEADER_LINE = len("NATS/1.0\r\n\r\n")
"""Bytes that headers have besides their own."""
NOT_FOUND, STATUS, SEQUENCE = "404", "Status", "Nats-Sequence"


@dataclass(frozen=True, slots=True)
class Stored:
    """The last message of a subject."""

    sequence: int
    headers: Mapping[str, str]
    body: bytes


class Broker:
    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._nc = LastingClient(settings.address, WORKER_INBOX)
        self._closing = False
        self._said: list[bytes] = []
        self._acks: list[bytes] = []
        """Reply subjects of deliveries that are done with. Written behind all else that was said: an ack is the last
        word about its delivery."""
        self._writing = False
        self._loop = asyncio.get_running_loop()
        self.on_disconnect: Callable[[], None] = _nothing
        self.on_connect: Callable[[], None] = _nothing

    @property
    def connected(self) -> bool:
        return bool(self._nc.is_connected)

    @property
    def unsaid(self) -> int:
        """Words about deliveries that are kept until there is a connection."""
        return len(self._said) + len(self._acks)

    def unheard(self, subject: str) -> str:
        """Why nothing comes of what is published to ``subject`` now and then; empty: nothing is known to be wrong."""
        return self._nc.why_silent(subject, self._loop.time() - UNHEARD_SECONDS)

    @property
    def max_body(self) -> int:
        """The largest body that fits a message beside its headers, in bytes."""
        return int(self._nc.max_payload) - wire.PAYLOAD_MARGIN

    async def connect(self) -> None:
        """Return once connected; tries for as long as it takes.

        Raises ValueError for credentials or certificates that can't be used.
        """
        settings = self._settings
        login = settings.address.login()
        await self._nc.connect(
            settings.address.servers,
            inbox_prefix=self._nc.inbox,
            name=f"jobrun-worker {settings.namespace}/{settings.run} {settings.worker}",
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            reconnect_to_server_handler=_next_server,
            ping_interval=PING_INTERVAL,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            **login,
        )
        self.on_connect()

    def inbox(self) -> str:
        return str(self._nc.new_inbox())

    async def subscribe(
        self, subject: str, callback: Callable[[Msg], Awaitable[None]], *, queue: str = ""
    ) -> Subscription:
        """``queue``: of all that subscribe with this name, one hears each message."""
        try:
            return await self._nc.subscribe(subject, queue=queue, cb=callback)
        except nats.errors.Error as error:
            raise BrokerUnavailable(_text(error)) from error

    async def take(
        self, subject: str, sink: Sink, callback: Callable[[Msg], Awaitable[None]]
    ) -> Subscription:
        """As ``subscribe``, but messages with a reply subject go to ``sink``, all that have been read at once."""
        try:
            return await self._nc.take(subject, sink, callback)
        except nats.errors.Error as error:
            raise BrokerUnavailable(_text(error)) from error

    async def take_answers(
        self, subject: str, sink: Sink, callback: Callable[[Msg], Awaitable[None]]
    ) -> None:
        """Subscribe: answers go to ``sink``, all that have been read at once; what has headers goes to ``callback``."""
        try:
            await self._nc.take_answers(subject, sink, callback)
        except nats.errors.Error as error:
            raise BrokerUnavailable(_text(error)) from error

    def tell(self, subject: bytes, word: bytes) -> None:
        """A word about a delivery, which has no answer. Written with all others of this turn of the loop, or as soon
        as there is a connection."""
        self._say(b"PUB %b %d\r\n%b\r\n" % (subject, len(word), word))

    def ack(self, reply: bytes) -> None:
        """The same for the word that nearly all deliveries end with: all of one turn are put together at once."""
        self._acks.append(reply)
        if not self._writing:
            self._write_soon()

    def ask(self, subject: str, headers: str, body: bytes, reply: str) -> None:
        """The same for a message with headers (lines that end with CR LF), whose answer comes to ``reply``."""
        head = f"NATS/1.0\r\n{headers}\r\n".encode()
        line = f"HPUB {subject} {reply} {len(head)} {len(head) + len(body)}\r\n".encode()
        self._say(b"%b%b%b\r\n" % (line, head, body))

    def _say(self, operation: bytes) -> None:
        self._said.append(operation)
        if not self._writing:
            self._write_soon()

    def _write_soon(self) -> None:
        self._writing = True
        self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._writing = False
        if not self._nc.is_connected:
            return
        if self._said:
            self._nc.write(b"".join(self._said))
            self._said.clear()
        if self._acks:
            self._nc.write(b"PUB %b%b" % (_ACK_AND_NEXT.join(self._acks), _ACK))
            self._acks.clear()

    async def leave(self, subscriptions: list[Subscription]) -> None:
        """Unsubscribe, after all that the broker has sent before it heard of it has been handled."""
        try:
            await asyncio.gather(*(subscription.drain() for subscription in subscriptions))  # type: ignore[no-untyped-call]
        except (nats.errors.Error, TimeoutError, OSError) as error:
            log.warning("broker: leaving an inbox: %s", _text(error))

    async def publish(self, subject: str, body: bytes, reply: str = "") -> None:
        """Without an answer; buffered while the connection is down."""
        try:
            await self._nc.publish(subject, body, reply)
        except nats.errors.Error as error:
            raise BrokerUnavailable(_text(error)) from error

    async def store(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        """Publish to a stream and wait until it is stored; returns its sequence."""
        size = len(body) + sum(len(name) + len(value.encode()) + 4 for name, value in headers.items())
        if size + _HEADER_LINE > self._nc.max_payload:
            # The broker would end the connection, and with it what others of this worker have in flight.
            raise BrokerUnavailable(
                f"{size:,} bytes are more than the broker takes now; its max_payload was larger when this run began"
            )
        message = await self._request(subject, body, headers)
        return sequence_of(message.data)

    async def last(self, stream: str, subject: str) -> Stored | None:
        """The last message of ``subject``, read directly (ADR-31); None: there is none."""
        message = await self._request(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", None)
        headers = message.headers or {}
        if headers.get(STATUS) == NOT_FOUND:
            return None
        if SEQUENCE not in headers:
            raise BrokerUnavailable(f"direct get of {subject}: {headers}")
        return Stored(int(headers[SEQUENCE]), headers, message.data)

    async def now(self, stream: str) -> int:
        """How late it is at the broker: nanoseconds since the epoch, by the answer to a question about ``stream``."""
        message = await self._request(f"$JS.API.STREAM.INFO.{stream}", b"", None)
        try:
            return holding.nanoseconds(json.loads(message.data)["ts"])
        except (ValueError, KeyError, TypeError) as bad:
            raise BrokerUnavailable(f"not an answer of JetStream: {message.data[:200]!r}") from bad

    async def flush(self, timeout: float = REQUEST_TIMEOUT) -> None:
        """Return when the broker has taken all that was published and told."""
        self._write()
        try:
            # Twice: the client's flush writes its PING ahead of what is still buffered.
            for _ in range(2):
                await self._nc.flush(timeout=timeout)  # type: ignore[arg-type]  # a float works: it goes to wait_for
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise BrokerUnavailable(_text(error)) from error

    async def close(self) -> None:
        self._closing = True
        if not self._nc.is_closed:
            await self._nc.close()

    async def _request(self, subject: str, body: bytes, headers: dict[str, str] | None) -> Msg:
        began = self._loop.time()
        try:
            message = await self._nc.request(subject, body, timeout=REQUEST_TIMEOUT, headers=headers)
        except (nats.errors.Error, TimeoutError) as error:
            raise BrokerUnavailable(self._nc.why_silent(subject, began) or _text(error)) from error
        return message

    async def _on_error(self, error: Exception) -> None:
        if is_refusal(error):
            log.warning("broker: %s: %s", _text(error), self._settings.address.how_to_log_in)
        elif Denial.parse(str(error)) is not None:
            log.error("broker: %s: %s", _text(error), denials.HELP)
        else:
            log.warning("broker: %s", _text(error))

    async def _on_disconnected(self) -> None:
        if not self._closing:
            log.warning("broker: disconnected")
        self.on_disconnect()

    async def _on_reconnected(self) -> None:
        log.info("broker: connected again")
        self._write()
        self.on_connect()


def sequence_of(answer: bytes) -> int:
    """What JetStream has answered to a message that is to be stored: its sequence.

    Raises WrongLastSequence and BrokerUnavailable.
    """
    try:
        value = json.loads(answer)
        error = value.get("error")
        if error is None:
            return int(value["seq"])
        code, text = error.get("err_code"), error.get("description")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as bad:
        raise BrokerUnavailable(f"not an answer of JetStream: {answer[:200]!r}") from bad
    if code == wire.WRONG_LAST_SEQUENCE:
        raise WrongLastSequence(str(text))
    raise BrokerUnavailable(f"{text} (error {code})")


def _next_server(servers: list[Server], _info: dict[str, Any]) -> tuple[Server, float]:
    """Any server, after a wait that doubles with the failures so far, with full jitter."""
    server = random.choice(servers)  # noqa: S311  # spreads load, keeps no secret
    wait = min(MAX_RECONNECT_WAIT, 0.2 * 2.0 ** min(server.reconnects, 10))
    return server, random.uniform(0.02, wait)  # noqa: S311


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


def _nothing() -> None:
    pass
