"""Holds of a whole run, in the wire contract: nothing new is begun until one has ended.

One record a run, in the key-value bucket ``<prefix>_control`` under the run's uid. Whoever sees a reason raises it by
compare-and-set; it is never lowered, and reaches an hour ahead at most. All times are the broker's own: whoever reads
a record asks the broker how late it is there, so that a clock which was stepped holds nobody, and frees nobody.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jobrun_worker.wire import Names, format_time

CIRCUIT_BREAKER = "CircuitBreaker"
"""So many attempts failed that it is the partner's fault and not the tasks'."""
THROTTLED = "Throttled"
"""A handler asked for it: the partner has said to come back later."""

MOST_SECONDS = 3600.0
"""That a hold may reach ahead."""
KEPT_SECONDS = 2 * MOST_SECONDS
"""For which the bucket keeps a record: longer than it can matter."""

_EPOCH = datetime.fromtimestamp(0, UTC)


def stream(names: Names) -> str:
    """The stream behind the bucket (source: ADR-8)."""
    return f"KV_{names.prefix}_control"


def subject(names: Names, uid: str) -> str:
    return f"$KV.{names.prefix}_control.{uid}"


@dataclass(frozen=True, slots=True)
class HoldRecord:
    until_ns: int
    """Of the broker's clock: nanoseconds since the epoch."""
    why: str
    message: str = ""
    open_seconds: float = 0.0
    """Of a circuit breaker: a trial follows the hold, and where it fails another hold of so many seconds. 0: none."""

    def left(self, now_ns: int) -> float:
        """Seconds from ``now_ns`` of the broker's clock; never more than a hold may reach ahead."""
        return min(MOST_SECONDS, max(0.0, (self.until_ns - now_ns) / 1e9))

    def encode(self) -> bytes:
        value = {"holdUntil": format_time(self.until_ns), "why": self.why, "message": self.message}
        return json.dumps(value | ({"openSeconds": self.open_seconds} if self.open_seconds else {})).encode()

    @classmethod
    def decode(cls, body: bytes) -> HoldRecord:
        """Raises ValueError where the record is not one of ours."""
        value: Any = json.loads(body)
        if not isinstance(value, dict):
            raise ValueError("a hold is a JSON object")
        until, why, message = value.get("holdUntil"), value.get("why"), value.get("message", "")
        if not isinstance(until, str) or not isinstance(why, str) or not isinstance(message, str):
            raise ValueError("a hold has the texts 'holdUntil' and 'why'")
        opened = value.get("openSeconds", 0.0)
        if type(opened) not in (int, float) or not 0 <= opened <= MOST_SECONDS:
            raise ValueError("openSeconds of a hold is a number of seconds, an hour at most")
        return cls(nanoseconds(until), why, message, float(opened))


@dataclass(frozen=True, slots=True)
class Wish:
    """What a hold is raised for."""

    why: str
    message: str
    open_seconds: float = 0.0


def raised(known: HoldRecord | None, now_ns: int, seconds: float, wish: Wish) -> HoldRecord | None:
    """The record to store, or None where ``known`` holds for at least as long. A trial that is to come still comes."""
    until = now_ns + round(min(max(seconds, 0.0), MOST_SECONDS) * 1e9)
    if known is not None and known.until_ns >= until // 1000 * 1000:  # as exact as it is written
        return None
    pending = known.open_seconds if known is not None and known.left(now_ns) > 0 else 0.0
    return HoldRecord(until, wish.why, wish.message, wish.open_seconds or pending)


def nanoseconds(text: str) -> int:
    """RFC 3339 to nanoseconds since the epoch, as exact as microseconds. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
