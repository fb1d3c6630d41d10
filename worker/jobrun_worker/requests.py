"""Requests and their answers, a few thousand a second of them.

nats-py (2.16) takes some 70 µs for a request: the answer goes through a queue and a task, and the wait for it has a
timer and a lock of its own. Here an answer is handed over within the read that brings it, and one timer serves all.
``keeping`` does the same for results, of which nobody waits for a single one.

Source: NATS client protocol, ``PUB <subject> <reply-to> <#bytes>`` and ``HPUB`` for what has headers, whose lines are
those of NATS/1.0 (ADR-4). Nobody at the subject is told by an answer with the status 503.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
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
        self._waiting: dict[bytes, tuple[asyncio.Future[Msg], float]] = {}
        """By the subject of the answer; with each the time at which it is given up, infinite until it is sent."""
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, subject: str, body: bytes, headers: Mapping[str, str] | None, timeout: float) -> Msg:
        """The answer. Raises an error of nats-py: NoRespondersError, TimeoutError ``timeout`` seconds after it was
        sent, and what ``publish`` raises. Names of headers are the program's own and are not looked at."""
        loop = asyncio.get_running_loop()
        if not self._inbox:
            self._inbox = self._client.new_inbox()  # at once: who asks meanwhile makes no other one
            try:
                await self._client.take_answers(f"{self._inbox}.*", self._answered, self._told)
            except BaseException:
                self._inbox = ""
                raise
        self._number += 1
        to = f"{self._inbox}.{self._number}"
        reply = to.encode()
        future: asyncio.Future[Msg] = loop.create_future()
        self._waiting[reply] = future, inf
        try:
            if not self._write(subject, reply, body, headers):
                # The library keeps it until there is room or a connection, makes it plain, or says what is wrong.
                await self._client.publish(subject, body, to, dict(headers) if headers else None)
            obey_cancellation()
            due = loop.time() + timeout
            self._waiting[reply] = future, due
            if self._timer is None or self._timer.when() > due:
                self._look_at(due)
            return await future
        finally:
            self._waiting.pop(reply, None)

    def close(self) -> None:
        """Nothing will be answered any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._inbox = None, ""
        for future, due in self._waiting.values():
            if due < inf and not future.done():
                future.set_exception(nats.errors.ConnectionClosedError())

    def _write(self, subject: str, reply: bytes, body: bytes, headers: Mapping[str, str] | None) -> bool:
        """The short way. False: it is not for this."""
        client = self._client
        if client.is_congested or not client.is_connected or len(body) > client.max_payload:
            return False
        if not subject or not subject.isprintable() or " " in subject:
            return False
        if not headers:
            client.write(b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply, len(body), body))
            return True
        # A name of the library's own is an Enum, which is a string to its methods, but not to a format.
        lines = "".join([f"{name.strip()}: {value.strip()}\r\n" for name, value in headers.items()])
        if lines.count("\r") != len(headers) or lines.count("\n") != len(headers):
            return False
        head = f"NATS/1.0\r\n{lines}\r\n".encode()
        sizes = len(head), len(head) + len(body)
        client.write(b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject.encode(), reply, *sizes, head, body))
        return True

    def _answered(self, answers: list[tuple[bytes, bytes]]) -> None:
        for subject, data in answers:
            waiting = self._waiting.get(subject)
            if waiting is not None and not waiting[0].done():  # else it was given up meanwhile
                waiting[0].set_result(Msg(self._client, subject.decode(), data=data))

    async def _told(self, message: Msg) -> None:
        """An answer with headers."""
        waiting = self._waiting.get(message.subject.encode())
        if waiting is None or waiting[0].done():
            return
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
        now, following = asyncio.get_running_loop().time(), inf
        for future, due in self._waiting.values():
            if due > now:
                following = min(following, due)
            elif not future.done():
                future.set_exception(nats.errors.TimeoutError())
        if following < inf:
            self._look_at(following)


def obey_cancellation() -> None:
    """Raise the CancelledError that the client library has swallowed.

    It does in what it writes (``_flush_pending``), and where it waits with ``asyncio.wait_for``, which in Python 3.11
    returns a result that comes in the same moment as a cancellation, and forgets the cancellation (cpython#86296).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
