"""Asking a broker until it answers: outcomes and records have no other place to go."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from jobrun_worker.errors import BrokerUnavailable

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
"""Seconds between two attempts; doubled each time, with full jitter."""

T = TypeVar("T")


class Patience:
    """The waits between attempts at one thing."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._attempt = 0

    async def wait(self, error: BrokerUnavailable) -> None:
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._attempt, 10))
        self._attempt += 1
        log.warning("%s: %s; trying again", self._what, error)
        await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311  # spreads load, keeps no secret


async def until_available(what: str, action: Callable[[], Awaitable[T]]) -> T:
    """Run ``action`` until it does not raise BrokerUnavailable. Ends otherwise only by cancellation."""
    patience = Patience(what)
    while True:
        try:
            return await action()
        except BrokerUnavailable as error:
            await patience.wait(error)
