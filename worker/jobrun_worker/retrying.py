"""Asking a broker until it answers: outcomes and records have no other place to go."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from jobrun_worker.broker import BrokerUnavailable

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
"""Seconds between two attempts; doubled each time, with full jitter."""

T = TypeVar("T")


async def until_available(what: str, action: Callable[[], Awaitable[T]]) -> T:
    """Run ``action`` until it does not raise BrokerUnavailable. Ends otherwise only by cancellation."""
    attempt = 0
    while True:
        try:
            return await action()
        except BrokerUnavailable as error:
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt, 10))
            log.warning("%s: %s; trying again", what, error)
            await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311  # spreads load, keeps no secret
            attempt += 1
