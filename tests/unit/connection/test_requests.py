"""Requests and their answers, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, cast

import nats.errors
import pytest
from nats.aio.msg import Msg
from nats.js.api import Header

from jobrun_worker.client import LastingClient
from jobrun_worker.parsing import Sink
from jobrun_worker.requests import Requests

Answer = tuple[bytes, bytes]


class Client:
    """In the place of the connection: notes what is written, and answers what it is told to."""

    def __init__(self) -> None:
        self.is_connected = True
        self.is_congested = False
        self.max_payload = 100
        self.inboxes = 0
        self.written: list[bytes] = []
        self.published: list[tuple[Any, ...]] = []
        self.refusal: Exception | None = None
        self.seconds = 0.0
        """That publishing takes."""
        self.swallows = False
        """Cancellations, while publishing."""

    def new_inbox(self) -> str:
        self.inboxes += 1
        return f"_INBOX.{self.inboxes}"

    async def take_answers(self, subject: str, sink: Sink, cb: Callable[[Msg], Awaitable[None]]) -> None:
        await asyncio.sleep(0.1)
        if self.refusal is not None:
            raise self.refusal
        assert subject == f"_INBOX.{self.inboxes}.*"
        self.sink, self.cb = sink, cb

    def write(self, commands: bytes) -> None:
        self.written.append(commands)

    async def publish(self, *given: Any) -> None:
        self.published.append(given)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.swallows:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(10)
        if self.refusal is not None:
            raise self.refusal

    async def tell(self, reply: str, headers: dict[str, str], data: bytes = b"") -> None:
        await self.cb(Msg(cast(Any, None), reply, data=data, headers=headers))


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def requests(client: Client) -> Requests:
    return Requests(cast(LastingClient, client))


def asked(requests: Requests, body: bytes = b"x", timeout: float = 5.0, **headers: str) -> asyncio.Task[Msg]:
    return asyncio.create_task(requests.ask("subject", body, headers or None, timeout))


async def test_answers_come_to_their_requests_in_any_order(client: Client, requests: Requests) -> None:
    first = asked(requests)
    await asyncio.sleep(0.2)
    second, third = asked(requests, b"yy"), asked(requests, b"zzz", A="b", C="d e")
    await asyncio.sleep(0.2)
    assert client.written == [
        b"PUB subject _INBOX.1.1 1\r\nx\r\n",
        b"PUB subject _INBOX.1.2 2\r\nyy\r\n",
        b"HPUB subject _INBOX.1.3 26 29\r\nNATS/1.0\r\nA: b\r\nC: d e\r\n\r\nzzz\r\n",
    ]
    client.sink(
        [
            (b"_INBOX.1.2", b"two"),
            (b"_INBOX.1.1", b"one"),
            (b"_INBOX.1.9", b"none"),
            (b"_INBOX.1.2", b"again"),
        ]
    )
    await client.tell("_INBOX.1.3", {"Nats-Sequence": "7"}, b"three")
    assert [(await one).data for one in (first, second, third)] == [b"one", b"two", b"three"]
    assert third.result().headers == {"Nats-Sequence": "7"}


async def test_a_header_by_its_name_in_the_library(client: Client, requests: Requests) -> None:
    asking = asyncio.create_task(requests.ask("subject", b"", {Header.ROLLUP: " sub "}, 5.0))
    await asyncio.sleep(0.2)
    assert client.written[0].endswith(b"\r\nNATS/1.0\r\nNats-Rollup: sub\r\n\r\n\r\n")
    asking.cancel()


async def test_nobody_is_there(client: Client, requests: Requests) -> None:
    asking = asked(requests)
    await asyncio.sleep(0.2)
    await client.tell("_INBOX.1.1", {"Status": "503"})
    with pytest.raises(nats.errors.NoRespondersError):
        await asking


async def test_each_is_given_up_at_its_own_time(client: Client, requests: Requests) -> None:
    loop, ends = asyncio.get_running_loop(), dict[float, float]()
    with pytest.raises(nats.errors.TimeoutError):
        await asked(requests, timeout=0.2)
    began = loop.time()

    async def ask(seconds: float) -> None:
        with pytest.raises(nats.errors.TimeoutError):
            await requests.ask("subject", b"", None, seconds)
        ends[seconds] = loop.time() - began

    async with asyncio.TaskGroup() as group:
        for seconds in (5.0, 1.0, 3.0, 0.5):
            group.create_task(ask(seconds))
    assert ends == pytest.approx({0.5: 0.5, 1.0: 1.0, 3.0: 3.0, 5.0: 5.0})


async def test_what_is_answered_or_cancelled_is_not_given_up(client: Client, requests: Requests) -> None:
    late = asked(requests, timeout=9)
    await asyncio.sleep(0.2)
    answered, cancelled = asked(requests), asked(requests)
    await asyncio.sleep(0.2)
    cancelled.cancel()
    client.sink([(b"_INBOX.1.2", b"one")])
    assert (await answered).data == b"one"
    await asyncio.wait([cancelled])
    assert cancelled.cancelled()
    await asyncio.sleep(7)
    assert not late.done()
    client.sink([(b"_INBOX.1.3", b"to nobody"), (b"_INBOX.1.1", b"late")])
    assert (await late).data == b"late"


async def test_a_cancellation_is_obeyed_also_where_the_answer_comes_with_it(
    client: Client, requests: Requests
) -> None:
    asking = asked(requests)
    await asyncio.sleep(0.2)
    client.sink([(b"_INBOX.1.1", b"one")])
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()


async def test_a_cancellation_that_the_library_has_swallowed_is_obeyed(
    client: Client, requests: Requests
) -> None:
    client.is_connected, client.swallows = False, True
    asking = asked(requests)
    await asyncio.sleep(0.2)
    asking.cancel()
    await asyncio.wait([asking], timeout=1)
    assert asking.cancelled()


async def test_the_time_begins_when_it_is_sent(client: Client, requests: Requests) -> None:
    client.is_congested, client.seconds = True, 20.0
    asking = asked(requests, timeout=5)
    await asyncio.sleep(24)
    assert not asking.done()
    client.sink([(b"_INBOX.1.1", b"answer")])
    assert (await asking).data == b"answer"


@pytest.mark.parametrize(
    ("connected", "subject", "body", "headers"),
    [
        (False, "subject", b"", None),
        (True, "", b"", None),
        (True, "subject", b"", {"A": "b\rc"}),
        (True, "two words", b"", None),
        (True, "a\r\nPUB b", b"", None),
        (True, "subject", b"x" * 101, None),
        (True, "subject", b"", {"A": "b\r\nC: d"}),
    ],
)
async def test_what_is_not_plain_goes_by_the_library(
    client: Client,
    requests: Requests,
    connected: bool,
    subject: str,
    body: bytes,
    headers: dict[str, str] | None,
) -> None:
    client.is_connected = connected
    asking = asyncio.create_task(requests.ask(subject, body, headers, 5.0))
    await asyncio.sleep(0.2)
    assert (client.written, client.published) == ([], [(subject, body, "_INBOX.1.1", headers)])
    client.sink([(b"_INBOX.1.1", b"answer")])
    assert (await asking).data == b"answer"


async def test_who_asks_while_the_inbox_is_asked_for_shares_it(client: Client, requests: Requests) -> None:
    both = asked(requests, b"1"), asked(requests, b"2")
    await asyncio.sleep(0.2)
    assert client.inboxes == 1
    client.sink([(line.split(b" ")[2], line[-3:-2]) for line in client.written])
    assert [(await one).data for one in both] == [b"1", b"2"]


async def test_an_inbox_that_could_not_be_had_is_asked_for_again(client: Client, requests: Requests) -> None:
    client.refusal = nats.errors.ConnectionClosedError()
    with pytest.raises(nats.errors.ConnectionClosedError):
        await asked(requests)
    client.refusal = None
    asking = asked(requests)
    await asyncio.sleep(0.2)
    client.sink([(b"_INBOX.2.1", b"answer")])
    assert (await asking).data == b"answer"


async def test_nothing_is_waited_for_once_it_is_closed(client: Client, requests: Requests) -> None:
    asking = asked(requests)
    await asyncio.sleep(0.2)
    requests.close()
    with pytest.raises(nats.errors.ConnectionClosedError):
        await asking
    again = asked(requests, timeout=1)
    with pytest.raises(nats.errors.TimeoutError):
        await asyncio.wait_for(again, 2)
