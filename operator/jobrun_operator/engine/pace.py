"""The runs of one process share what it may spend on looking at them: ``core.looks`` says how, this counts them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from jobrun_operator.core import looks


class Pace:
    """Shared by all engines of a process. Seconds."""

    def __init__(self) -> None:
        self._runs = 0

    @contextmanager
    def taking_part(self) -> Iterator[None]:
        """For as long as a run is looked at."""
        self._runs += 1
        try:
            yield
        finally:
            self._runs -= 1

    def interval(self, asked: float) -> float:
        """Between two looks of a kind that is made every ``asked`` seconds where there are few runs."""
        return looks.interval(asked, self._runs)

    def seldom(self, asked: float) -> float:
        """The same of what is looked at beside, and seldom shows anything new."""
        return looks.seldom(asked, self._runs)

    def rest(self, asked: float, uid: str) -> float:
        """From now until the next look at the run ``uid``."""
        phase = zlib.crc32(uid.encode()) / 2**32
        return looks.rest(asked, self._runs, phase, asyncio.get_running_loop().time())
