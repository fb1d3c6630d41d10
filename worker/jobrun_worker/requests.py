"""Requests and their answers, a few thousand a second of them.

nats-py (2.16) takes some 70 µs for a request: the answer goes through a queue and a task, and the wait for it has a
timer and a lock of its own. Here an answer is handed over within the read that brings it, and one timer serves all.

Source: NATS client protocol, ``PUB <subject> <reply-to> <#bytes>`` and ``HPUB`` for what has headers, whose lines are
those of NATS/1.0 (ADR-4). Nobody at the subject is told by an answer with the status 503.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import nats.errors
from nats.aio.msg import Msg

if TYPE_CHECKING:
    from jobrun_worker.client import LastingClient

_NOBODY = "503"


class Requests:
    """Of one connection: all answers come under one inbox, and are told apart by a number."""

    def __init__(self, client: LastingClient) -> None:
        self._client = client
        self._inbox = ""
        self._number = 0
        self._waiting: dict[str, tuple[asyncio.Future[Msg], float]] = {}
        """By the subject of the answer; with each the time at which it is given up."""
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, subject: str, body: bytes, headers: Mapping[str, str] | None, timeout: float) -> Msg:
        """The answer. Raises an error of nats-py: NoRespondersError, TimeoutError after ``timeout`` seconds, and what
        ``publish`` raises."""
        loop = asyncio.get_running_loop()
        if not self._inbox:
            self._inbox = self._client.new_inbox()  # at once: who asks meanwhile makes no other one
            try:
                await self._client.take_answers(f"{self._inbox}.*", self._answered, self._told)
            except BaseException:
                self._inbox = ""
                raise
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        future: asyncio.Future[Msg] = loop.create_future()
        due = loop.time() + timeout
        self._waiting[reply] = future, due
        if self._timer is None or self._timer.when() > due:
            self._look_at(due)
        try:
            await self._say(subject, reply, body, headers)
            return await future
        finally:
            self._waiting.pop(reply, None)

    def close(self) -> None:
        """Nothing will be answered any more."""
        if self._timer is not None:
            self._timer.cancel()
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(nats.errors.ConnectionClosedError())

    async def _say(self, subject: str, reply: str, body: bytes, headers: Mapping[str, str] | None) -> None:
        client = self._client
        lines = ""
        if (
            headers
        ):  # the library names its own by an Enum of strings, which only a string's methods take for one
            lines = "".join([f"{name.strip()}: {value.strip()}\r\n" for name, value in headers.items()])
        plain = subject.isprintable() and " " not in subject and lines.count("\n") == len(headers or ())
        if not (plain and client.is_connected and len(body) <= client.max_payload):
            # The library keeps it until there is a connection, makes it plain, or says what is wrong with it.
            await client.publish(subject, body, reply, dict(headers) if headers else None)
        elif not lines:
            client.write(b"PUB %b %d\r\n%b\r\n" % (f"{subject} {reply}".encode(), len(body), body))
        else:
            head = f"NATS/1.0\r\n{lines}\r\n".encode()
            client.write(
                b"HPUB %b %d %d\r\n%b%b\r\n"
                % (f"{subject} {reply}".encode(), len(head), len(head) + len(body), head, body)
            )

    def _answered(self, answers: list[tuple[bytes, bytes]]) -> None:
        for subject, data in answers:
            self._settle(Msg(self._client, subject.decode(), data=data))

    async def _told(self, message: Msg) -> None:
        """An answer with headers."""
        self._settle(message)

    def _settle(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject)
        if waiting is None or waiting[0].done():
            return  # given up meanwhile
        if message.headers and message.headers.get("Status") == _NOBODY:
            waiting[0].set_exception(nats.errors.NoRespondersError())
        else:
            waiting[0].set_result(message)

    def _look_at(self, time: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(time, self._look)

    def _look(self) -> None:
        """Give up what is due; again when the next one is."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for future, due in self._waiting.values():
            if due <= now and not future.done():
                future.set_exception(nats.errors.TimeoutError())
        left = [due for future, due in self._waiting.values() if not future.done()]
        if left:
            self._look_at(min(left))
