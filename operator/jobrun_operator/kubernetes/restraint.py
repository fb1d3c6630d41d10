"""What was not allowed is not asked for again at every look: a rule that denies it does not change within a second.

Each further denial makes the wait longer. While it lasts the same answer is given without a request, so that it shows
as before; when the rule has changed that is noticed within the longest wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from jobrun_operator.errors import NotAllowed

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 30.0
"""Between two tries."""


@dataclass(frozen=True, slots=True)
class _Denied:
    why: str
    wait: float
    until: float


class Restraint:
    """For requests by a key: the uid of a run."""

    def __init__(self) -> None:
        self._denied: dict[str, _Denied] = {}

    def waits(self, key: str) -> bool:
        """Whether it is too early for another try."""
        denied = self._denied.get(key)
        return denied is not None and _now() < denied.until

    @contextmanager
    def asking(self, key: str) -> Iterator[None]:
        """Around a request. Raises NotAllowed, as the last one did, where it is too early for another."""
        denied = self._denied.get(key)
        if denied is not None and _now() < denied.until:
            raise NotAllowed(denied.why)
        try:
            yield
        except NotAllowed as error:
            wait = min(denied.wait * 2, LONGEST_SECONDS) if denied else FIRST_SECONDS
            now = _now()
            self._forget_before(now - LONGEST_SECONDS)
            self._denied[key] = _Denied(str(error), wait, now + wait)
            raise
        self._denied.pop(key, None)

    def _forget_before(self, time: float) -> None:
        """Of runs that are gone nobody asks any more."""
        self._denied = {key: one for key, one in self._denied.items() if one.until >= time}


def _now() -> float:
    return asyncio.get_running_loop().time()
