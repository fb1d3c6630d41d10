"""A connection to the broker, and JetStream's API over it, with our errors instead of the client's.

Requests go to ``$JS.API`` as JSON (source: the NATS JetStream API reference): the configuration that is sent
is then exactly the one that is written in ``layout``, including fields that client libraries do not know yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic_core import from_json

from jobrun_operator.errors import (
    BrokerBusy,
    BrokerUnavailable,
    Conflict,
    EnvironmentFault,
    JobRunError,
)
from jobrun_worker import denials, wire
from jobrun_worker.address import CLIENT_INBOX, BrokerAddress
from jobrun_worker.client import LastingClient, is_refusal
from jobrun_worker.denials import Denial

log = logging.getLogger(__name__)

OLDEST_SERVER = (2, 12)
"""Atomic batches and consumer pauses need nats-server 2.12 or later."""

REQUEST_TIMEOUT = 5.0
"""Seconds; a broker that is alive answers in milliseconds."""

STREAM_NOT_FOUND = 10059
CONSUMER_NOT_FOUND = 10014
MESSAGE_NOT_FOUND = 10037
_BUSY = {10002, 10023, 10028, 10047, 10077, 10167, 10176, 10210}
"""An account at its limits; short of resources, memory or storage; a stream at its max_bytes; too many requests; a
batch that did not arrive whole; too many open batches. Each may pass: look at the stream again and go on from there."""


_NO_JETSTREAM = {10039, 10076}
"""Not enabled for the account, or not at all."""


class NothingThere(BrokerUnavailable):
    """Nothing answers on the subject: no JetStream, no such stream or bucket, or the broker is just starting."""


class NotFound(JobRunError):
    """The stream, consumer or message is not there; ``code`` says which."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Refused(JobRunError):
    """The broker refused a request for good; ``code`` is JetStream's err_code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


async def connect(
    address: BrokerAddress, name: str, *, inbox: str = CLIENT_INBOX, timeout: float = 10.0
) -> LastingClient:
    """Connect for good: the client reconnects for ever from here on. Answers come under ``inbox``.

    Raises EnvironmentFault where a file of the credentials can't be used, the broker can't be reached within
    ``timeout`` seconds, refuses the credentials, has no JetStream, or is older than 2.12.
    """
    client = LastingClient(address, inbox)
    errors: list[Exception] = []
    refused = asyncio.Event()

    async def on_error(error: Exception) -> None:
        if not refused.is_set():
            errors[:] = [error]
        if is_refusal(error):
            refused.set()
        if Denial.parse(str(error)) is not None:
            log.error("the broker denies it: %s: %s", error, denials.HELP)
        log.debug("broker: %s: %s", type(error).__name__, error)

    async def on_disconnect() -> None:
        if not client.is_closed and not client.is_draining:
            log.warning("the connection to the broker is lost; reconnecting")

    async def on_reconnect() -> None:
        log.info("connected to the broker again")

    try:
        login = address.login()
    except ValueError as error:
        raise EnvironmentFault(f"the broker can't be logged in to: {error}") from error
    connecting = client.connect(
        servers=address.servers,
        name=name,
        inbox_prefix=client.inbox,
        reconnect_time_wait=0.25,  # type: ignore[arg-type]  # a float works: it goes to sleep
        connect_timeout=max(1, int(timeout)),
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        ping_interval=5,
        max_outstanding_pings=2,
        error_cb=on_error,
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
        **login,
    )
    try:
        await _first_connection(connecting, refused, timeout)
        await _check_server(client, address)
    except BaseException as error:
        await close(client)
        if not isinstance(error, (nats.errors.Error, OSError, TimeoutError)):
            raise
        cause = errors[-1] if errors else error
        said = f"{type(cause).__name__}: {cause}; {_advice(address, cause)}"
        raise EnvironmentFault(f"no connection to the broker at {address.shown}: {said}") from error
    return client


async def close(client: Client) -> None:
    """Close the connection, also one whose other end is gone: then the client would raise what it finds there."""
    with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
        await client.close()


async def _first_connection(
    connecting: Coroutine[Any, Any, None], refused: asyncio.Event, timeout: float
) -> None:
    """The client would try for ever, the first time as well: until it is refused, or ``timeout`` has passed."""
    attempt, refusal = asyncio.create_task(connecting), asyncio.create_task(refused.wait())
    try:
        await asyncio.wait({attempt, refusal}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not attempt.done():
            raise TimeoutError(f"no answer within {timeout:g} s")
        attempt.result()
    finally:
        attempt.cancel()
        refusal.cancel()
        await asyncio.wait({attempt, refusal})


async def _check_server(client: LastingClient, address: BrokerAddress) -> None:
    version = client.connected_server_version
    if (version.major, version.minor) < OLDEST_SERVER:
        raise EnvironmentFault(
            f"nats-server {version.major}.{version.minor}.{version.patch} at {address.shown} is too old: "
            f"JobRun needs {OLDEST_SERVER[0]}.{OLDEST_SERVER[1]} or later"
        )
    try:
        await JetStream(client).api("INFO")
    except (NothingThere, Refused) as error:
        raise EnvironmentFault(
            f"the broker at {address.shown} has no JetStream for this account ({error}); enable it there"
        ) from error
    except JobRunError as error:
        raise EnvironmentFault(f"the broker at {address.shown} can't be used: {error}") from error


def _advice(address: BrokerAddress, cause: BaseException) -> str:
    """Which setting to look at; the commands of people have an option of the same name for each."""
    if is_refusal(cause):
        return address.how_to_log_in
    if isinstance(cause, ssl.SSLError):
        return "check JOBRUN_NATS_TLS_CA, the authority that signed the broker's certificate"
    return "check JOBRUN_NATS_URL, and that nats-server runs there"


class JetStream:
    """JetStream's API as requests that answer with a JSON object or raise one of our errors.

    It may be made before there is a connection: ``absence`` then says why, and whatever needs it raises that as
    BrokerUnavailable, as it would in an outage.
    """

    def __init__(
        self,
        client: LastingClient | None = None,
        on_request: Callable[[str, str, float], None] = lambda subject, outcome, seconds: None,
    ) -> None:
        """``on_request`` is told of each: its subject, ``ok`` or the kind of error, and how many seconds it took."""
        self._client = client
        self._on_request = on_request
        self.absence = "" if client else "there is no connection to the broker yet"

    @property
    def client(self) -> LastingClient:
        """Raises BrokerUnavailable before there is one."""
        if self._client is None:
            raise BrokerUnavailable(self.absence)
        return self._client

    def attach(self, client: LastingClient) -> None:
        """There is a connection, from now on."""
        self._client, self.absence = client, ""

    async def api(self, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Raises NotFound, Refused, BrokerBusy, BrokerUnavailable."""
        reply = await self.request(f"$JS.API.{subject}", json.dumps(body).encode() if body else b"")
        return checked(decoded(reply.data, subject), subject)

    async def publish(
        self, subject: str, body: bytes, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Store one message and wait for its acknowledgement. Raises Conflict where an expectation fails."""
        reply = await self.request(subject, body, headers)
        return checked(decoded(reply.data, subject), subject)

    async def request(
        self,
        subject: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Msg:
        """A request whose failures are BrokerUnavailable."""
        clock = asyncio.get_running_loop().time
        began = clock()
        if self._client is None:
            self._on_request(subject, BrokerUnavailable.__name__, 0.0)
            raise BrokerUnavailable(self.absence)
        try:
            answer = await self._client.request(subject, body, timeout=timeout, headers=headers)
        except nats.errors.NoRespondersError:
            self._on_request(subject, NothingThere.__name__, clock() - began)
            raise NothingThere(
                f"nothing on the broker answers to {subject}: is JetStream enabled for this account, "
                "and is the stream there?"
            ) from None
        except (nats.errors.Error, OSError, TimeoutError) as error:
            self._on_request(subject, BrokerUnavailable.__name__, clock() - began)
            known = self._client.why_silent(subject, began)
            raise BrokerUnavailable(known or f"no answer from the broker ({type(error).__name__})") from error
        self._on_request(subject, "ok", clock() - began)
        return answer


def decoded(data: bytes, what: str) -> dict[str, Any]:
    """An answer of JetStream. Raises BrokerUnavailable for anything else, which says nothing about what was asked."""
    try:
        answer = from_json(data)  # half the time of json.loads, for answers that are mostly configuration
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not _is_error(answer.get("error")):
        raise BrokerUnavailable(f"not an answer of JetStream to {what}: {data[:100]!r}")
    return answer


def _is_error(value: Any) -> bool:
    """Whether this is what an answer has for ``error``: an object with numbers for codes, or nothing."""
    if not isinstance(value, dict):
        return value is None
    return all(isinstance(value.get(code, 0), int) for code in ("code", "err_code"))


def checked(answer: dict[str, Any], what: str) -> dict[str, Any]:
    """The answer, or its ``error`` as one of ours."""
    error = answer.get("error")
    if not error:
        return answer
    code = int(error.get("err_code", 0))
    text = str(error.get("description", "unknown error"))
    if code == wire.WRONG_LAST_SEQUENCE:
        raise Conflict(f"{what}: {text}")
    if code in (STREAM_NOT_FOUND, CONSUMER_NOT_FOUND, MESSAGE_NOT_FOUND):
        raise NotFound(f"{what}: {text}", code)
    if code in _BUSY:
        raise BrokerBusy(f"the broker holds back: {text} ({code})")
    if code in _NO_JETSTREAM:
        raise NothingThere(f"the broker failed: {text} ({code})")
    if int(error.get("code", 0)) >= 500:
        raise BrokerUnavailable(f"the broker failed: {text} ({code})")
    raise Refused(f"the broker refused {what}: {text} ({code})", code)
