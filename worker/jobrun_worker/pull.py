"""Continuous pull: never more asked for and held than there are slots, and never an idle slot for lack of asking.

Source: ADR-37 (JetStream simplification: overlapping pulls, idle heartbeats, statuses) and ADR-13. A request lives
shortly; one that was in flight over a lost connection is given up and asked anew, as is one whose heartbeats
fail to come (a broker that has no room for a request with heartbeats drops it without a word).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable
from functools import partial

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from jobrun_worker.broker import Broker
from jobrun_worker.errors import BrokerUnavailable
from jobrun_worker.lanes import Lane
from jobrun_worker.wire import CONSUMER

log = logging.getLogger(__name__)

LANES = 4
"""Pull requests of one process at a time; those of the largest run stay within the consumer's ``max_waiting``."""
EXPIRES = 6.0
"""Seconds that a request waits at the broker."""
HEARTBEAT = 2.0
"""Seconds between signs of life of a request; the broker wants at most half of ``EXPIRES``."""
PATIENCE = 2 * HEARTBEAT + 1.0
"""Seconds of silence after which a request is given up."""
PERMIT_SECONDS = 1.0
"""For which a permit to retry something holds, and a request for it waits."""
QUIET = 0.25
"""Seconds without a task after which requests in flight are taken back."""
FIRST_BACKOFF, LONGEST_BACKOFF = 0.1, 5.0
"""Seconds before asking again after a refusal."""

_NANOSECONDS = 1_000_000_000
_ENDED = {"404", "408"}
"""Statuses with which a request ends in the ordinary way."""


class Puller:
    def __init__(
        self,
        broker: Broker,
        stream: str,
        retry_stream: str,
        slots: int,
        held: Callable[[], int],
        arrived: Callable[[list[tuple[bytes, bytes]]], None],
        retries: Callable[[list[tuple[bytes, bytes]]], None],
    ) -> None:
        """``held`` counts the tasks that take a slot; ``arrived`` takes what came at once (reply subjects, payloads),
        and ``retries`` the same of the stream of retries."""
        self._broker = broker
        self.subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{CONSUMER}"
        self._retry_subject = f"$JS.API.CONSUMER.MSG.NEXT.{retry_stream}.{CONSUMER}"
        self._slots = slots
        self._held = held
        self._arrived = arrived
        self._retries = retries
        self.narrowed = False
        self._lanes: list[Lane] = []
        self._again = Lane(LANES)
        """Of the stream of retries: it asks for what is permitted, on top of the slots."""
        self._permits, self._permits_until = 0, 0.0
        self._subscriptions: list[Subscription] = []
        self._inbox = ""
        self._blocked: set[str] = {"start"}
        self._failures = 0
        self._not_before = 0.0
        self._last_activity = 0.0
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._stopping = asyncio.Lock()
        self._loop = asyncio.get_running_loop()

    @property
    def requested(self) -> int:
        """Tasks asked for that may still come."""
        return sum(lane.remaining for lane in self._lanes)

    @property
    def pulling(self) -> bool:
        """Whether the broker takes this worker's requests."""
        return not self._failures and "start" not in self._blocked

    def start(self, reason: str = "start") -> None:
        self._blocked.discard(reason)
        self._wake.set()

    def wake(self) -> None:
        """A slot is free."""
        self._wake.set()

    def resize(self, slots: int) -> None:
        """Hold so many tasks at a time from now on."""
        self._slots = slots
        self._wake.set()

    def narrow(self, narrow: bool) -> None:
        """Take one task at a time: after a worker was lost, until a task comes that was not lost with it."""
        if self.narrowed != narrow:
            self.narrowed = narrow
            self._wake.set()

    def permit(self, retries: int) -> None:
        """So many retries may be begun, within a moment. Who is too busy for them lets the permit lapse: there is
        another one for as long as there is something to retry."""
        now = self._loop.time()
        left = self._permits if now < self._permits_until else 0
        self._permits, self._permits_until = left + retries, now + PERMIT_SECONDS
        self._wake.set()

    def reset(self) -> None:
        """The connection is gone, and with it all requests."""
        for lane in (*self._lanes, self._again):
            lane.remaining = 0
        self._ended.set()
        self._failures = 0
        self._not_before = 0.0

    def block(self, reason: str) -> None:
        """Ask for nothing more until ``start`` with the same reason."""
        self._blocked.add(reason)

    async def quiet(self) -> None:
        """Return when no more task can come: after ``block``. Requests in flight may bring some until then.

        An idle request is taken back by leaving its inbox. That is safe only while nothing is being delivered to
        it: a task on its way to an inbox that has been left would come back only after ``ack_wait``, as a lost one.
        """
        async with self._stopping:
            while self._blocked and (self.requested or self._again.remaining):
                self._ended.clear()
                rest = self._last_activity + QUIET - self._loop.time()
                if rest <= 0:
                    await self._leave()
                    return
                try:
                    await asyncio.wait_for(self._ended.wait(), rest)
                except TimeoutError:
                    continue

    async def run(self) -> None:
        """Ask whenever there is a free slot, until cancelled."""
        ticker = asyncio.create_task(self._watch())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._stopping.locked():
                    async with self._stopping:
                        pass
                try:
                    await self._refill()
                except BrokerUnavailable as error:
                    self._back_off(str(error))
        finally:
            ticker.cancel()

    async def _refill(self) -> None:
        if self._blocked or not self._broker.connected:
            return
        await self._ask_for_retries()
        slots = 1 if self.narrowed else self._slots
        batch = slots - self._held() - self.requested
        if batch <= 0:
            return
        if self._not_before > self._loop.time():
            self._loop.call_at(self._not_before, self._wake.set)
            return
        if not self._subscriptions:
            await self._subscribe()
        for lane in self._lanes:
            if not lane.remaining:
                lane.open(batch, self._loop.time())
                self._last_activity = max(self._last_activity, self._loop.time() - QUIET / 2)
                body = {
                    "batch": batch,
                    "expires": int(EXPIRES * _NANOSECONDS),
                    "idle_heartbeat": int(HEARTBEAT * _NANOSECONDS),
                }
                reply = f"{self._inbox}.{lane.number}.{lane.request}"
                await self._broker.publish(self.subject, json.dumps(body).encode(), reply)
                return

    async def _ask_for_retries(self) -> None:
        now = self._loop.time()
        batch = min(self._permits, 2 * self._slots - self._held())
        if now >= self._permits_until or batch <= 0 or self.narrowed or self._again.remaining:
            return
        if not self._subscriptions:
            await self._subscribe()
        self._permits -= batch
        self._again.open(batch, now)
        body = {"batch": batch, "expires": int(PERMIT_SECONDS * _NANOSECONDS)}
        reply = f"{self._inbox}.{self._again.number}.{self._again.request}"
        await self._broker.publish(self._retry_subject, json.dumps(body).encode(), reply)

    async def _subscribe(self) -> None:
        self._inbox = self._broker.inbox()
        self._lanes = [Lane(number) for number in range(LANES)]
        for lane in (*self._lanes, self._again):
            subject = f"{self._inbox}.{lane.number}.*"
            on_tasks, on_status = partial(self._on_tasks, lane), partial(self._on_status, lane)
            self._subscriptions.append(await self._broker.take(subject, on_tasks, on_status))

    async def _leave(self) -> None:
        subscriptions, self._subscriptions = self._subscriptions, []
        for lane in (*self._lanes, self._again):
            lane.remaining = 0
        if self._broker.connected:
            await self._broker.leave(subscriptions)

    def _on_tasks(self, lane: Lane, tasks: list[tuple[bytes, bytes]]) -> None:
        now = self._loop.time()
        lane.messages(len(tasks), now)
        self._last_activity = now
        if lane is self._again:
            self._retries(tasks)
        else:
            self._failures = 0
            self._arrived(tasks)
        if not lane.remaining:
            self._ended.set()
            self._wake.set()

    async def _on_status(self, lane: Lane, message: Msg) -> None:
        now = self._loop.time()
        headers = message.headers or {}
        status, token = headers.get("Status", ""), message.subject.rpartition(".")[2]
        if not (token.isascii() and token.isdigit()):
            return  # no status of the broker's
        request = int(token)
        if status == "100":
            lane.heartbeat(request, now)
            self._failures = 0
            return
        if not lane.end(request):
            return
        self._ended.set()
        if lane is self._again:
            self._wake.set()  # also where there is no such stream any more: who permits knows better
        elif status in _ENDED:
            self._failures = 0
            self._wake.set()
        else:
            self._back_off(f"{status} {headers.get('Description', '')}".strip())

    def _back_off(self, why: str) -> None:
        wait = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures, 10))
        wait = random.uniform(wait / 2, wait)  # noqa: S311  # spreads load, keeps no secret
        if not self._failures:
            log.warning("pull: the broker answers %s; asking again until it delivers", why)
        self._failures += 1
        self._not_before = self._loop.time() + wait
        self._loop.call_at(self._not_before, self._wake.set)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            now = self._loop.time()
            silent = [lane for lane in self._lanes if lane.silent(now, PATIENCE)]
            if self._again.silent(now, PATIENCE):
                self._again.remaining = 0
                self._ended.set()
            for lane in silent:
                lane.remaining = 0
            if silent:
                self._ended.set()
                self._back_off("nothing, not even heartbeats")
            self._wake.set()
