"""This worker's part in the holds of its run: it obeys those of others within a moment, and raises those that its
handlers ask for.

What is published to the bucket is heard as a plain message, which only wakes: the record that counts is then read, as
it is after each connection and every few seconds. Where the bucket can't be reached this worker holds all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from nats.aio.msg import Msg

from jobrun_worker import holding
from jobrun_worker.broker import Broker
from jobrun_worker.errors import BrokerUnavailable, WrongLastSequence
from jobrun_worker.hold import Hold
from jobrun_worker.holding import CIRCUIT_BREAKER, THROTTLED, HoldRecord, Wish
from jobrun_worker.trial import Trial
from jobrun_worker.wire import EXPECTED_LAST_SUBJECT_SEQUENCE, Names

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""Between two looks where nothing has woken it."""
RETRY_SECONDS = 1.0
"""Between two tries while the bucket does not answer."""
FIRST_SECONDS = 2.0
"""For which the first look may keep a worker that starts."""
SLACK_SECONDS = 0.5
"""By so much a hold must be longer than what is stored to be told: tasks at work together are throttled together."""


class SharedHold:
    def __init__(self, broker: Broker, names: Names, uid: str, hold: Hold, trial: Trial) -> None:
        self._broker = broker
        self._stream = holding.stream(names)
        self._subject = holding.subject(names, uid)
        self._hold = hold
        self._trial = trial
        self._followed = 0
        """The hold after which this worker takes part in a trial: when it ends, by the broker's clock."""
        self._apart = 0.0
        """Seconds between the end of that hold and this worker's part."""
        self._wake = asyncio.Event()
        self._wanted: tuple[float, Wish] | None = None
        """Until when, on the loop's clock, and why this worker wants the run to be held."""
        self._trouble = ""
        self._loop = asyncio.get_running_loop()

    def throttle(self, seconds: float, reason: str) -> None:
        """A handler asks for a pause: hold this worker at once, and the run as soon as the broker knows."""
        self._begin(seconds, Wish(THROTTLED, reason))

    def failed(self, error: str) -> None:
        """An attempt has failed: where it was one of a trial, the run may have to be held once more."""
        seconds = self._trial.failed()
        if seconds:
            self._begin(seconds, Wish(CIRCUIT_BREAKER, f"the trial after it failed: {error}", seconds))

    def _begin(self, seconds: float, wish: Wish) -> None:
        if self._hold.begin(seconds, wish.message):
            self._wanted = (self._loop.time() + seconds, wish)
            self._wake.set()

    def wake(self) -> None:
        """Look again: there is a connection."""
        self._wake.set()

    async def first(self) -> None:
        """Before the first task is asked for; a bucket that does not answer keeps no worker from its work for long."""
        with contextlib.suppress(BrokerUnavailable, TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._align()

    async def run(self) -> None:
        """Until cancelled."""
        subscribed = False
        while True:
            self._wake.clear()
            try:
                if not subscribed and self._broker.connected:
                    await self._broker.subscribe(self._subject, self._heard)
                    subscribed = True
                if subscribed:
                    await self._align()
                self._trouble = ""
                rest = LOOK_SECONDS
            except BrokerUnavailable as error:
                self._say(error)
                rest = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._wake.wait()

    def _say(self, error: BrokerUnavailable) -> None:
        """Once for each trouble: this worker holds by itself meanwhile."""
        if str(error) != self._trouble:
            log.warning("the holds of this run can't be read or told: %s; trying again", error)
        self._trouble = str(error)

    async def _heard(self, _: Msg) -> None:
        self._wake.set()

    async def _align(self) -> None:
        """Obey what is stored, and store what is wanted beyond it."""
        while True:
            stored = await self._broker.last(self._stream, self._subject)
            known = _decoded(stored.body) if stored is not None else None
            if known is None and self._wanted is None:
                return
            now_ns = await self._broker.now(self._stream)
            if known is not None:
                self._obey(known, now_ns)
            if self._wanted is None:
                return
            until, wish = self._wanted
            seconds = until - self._loop.time()
            new = holding.raised(known, now_ns, seconds, wish)
            if new is None or (known is not None and seconds - known.left(now_ns) < SLACK_SECONDS):
                self._done(until)
                return
            headers = {EXPECTED_LAST_SUBJECT_SEQUENCE: str(stored.sequence if stored is not None else 0)}
            try:
                await self._broker.store(self._subject, new.encode(), headers)
            except WrongLastSequence:
                continue  # somebody else has raised it meanwhile, perhaps for longer
            self._done(until)
            return

    def _obey(self, known: HoldRecord, now_ns: int) -> None:
        left = known.left(now_ns)
        fresh = now_ns < known.until_ns + int(
            known.open_seconds * 1e9
        )  # else it was over long before this worker began
        if known.open_seconds and fresh and known.until_ns != self._followed:
            self._followed, self._apart = known.until_ns, self._trial.follow(known.open_seconds)
        if left > 0:
            apart = self._apart if known.until_ns == self._followed else 0.0
            self._hold.begin(left + apart, f"{known.why}: {known.message}")

    def _done(self, until: float) -> None:
        if self._wanted is not None and self._wanted[0] <= until:
            self._wanted = None


def _decoded(body: bytes) -> HoldRecord | None:
    try:
        return HoldRecord.decode(body)
    except ValueError as error:
        log.error("the hold of this run can't be read and is taken for none: %s", error)
        return None
