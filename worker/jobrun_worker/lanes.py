"""The accounting of pull requests: how many tasks are asked for, exactly.

A delivered message does not say which pull request it answers: its subject is the stream's. So requests go in
lanes, each with a subscription of its own and at most one request at a time. A request ends when it is filled, by
a status from the broker, or when the broker has been silent for too long. Few lanes: the consumer's ``max_waiting``
bounds the requests of all workers together.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Lane:
    number: int
    request: int = 0
    """Counts the requests of this lane: the last token of their reply subject."""
    remaining: int = 0
    """Tasks still to come of the request in flight; 0: none is in flight."""
    seen: float = 0.0
    """When the broker was last heard of it, in seconds on the loop's clock."""

    def open(self, batch: int, now: float) -> None:
        self.request += 1
        self.remaining = batch
        self.seen = now

    def messages(self, count: int, now: float) -> None:
        """So many tasks came. Those of a request that was given up are nobody's here."""
        self.remaining = max(0, self.remaining - count)
        self.seen = now

    def heartbeat(self, request: int, now: float) -> None:
        if request == self.request:
            self.seen = now

    def end(self, request: int) -> bool:
        """The broker has ended a request; False where it is not the one in flight."""
        if request != self.request or not self.remaining:
            return False
        self.remaining = 0
        return True

    def silent(self, now: float, patience: float) -> bool:
        return self.remaining > 0 and now - self.seen > patience
