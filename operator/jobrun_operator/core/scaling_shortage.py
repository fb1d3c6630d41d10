"""Remembers how many workers were too few, so that a paced run does not go back to a number that has just failed.

The service time says how many slots a rate needs; it can't say that a worker does less with the same slots, because its
machine is busy or its handler is bound to one processor. What shows that is a number of workers that kept up and then
falls behind: one more is needed then, and for a while after, or the run would try the lower number again and again and
each time lose some of its rate to back-pressure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MEMORY_SECONDS = 300.0
"""After which the lower number may be tried again."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """A value, replaced at every observation."""

    kept_up: int = 0
    """The last number of workers, all of them ready, that kept up."""
    least: int = 0
    """As many are needed, by the last time that fewer fell behind."""
    proven_at: float = 0.0

    def observe(self, *, behind: bool, replicas: int, ready: int, now: float) -> Shortage:
        """Only what all the workers that were asked for can do proves something."""
        if ready != replicas or replicas <= 0:
            return self
        if not behind:
            return replace(self, kept_up=replicas)
        if self.kept_up != replicas:
            return self  # they have yet to catch up with what waited for them
        return replace(self, least=max(replicas + 1, self.needed(now)), proven_at=now)

    def pause(self) -> Shortage:
        """Nothing was begun for a while: what waits after it says nothing of the workers until they have caught up."""
        return replace(self, kept_up=0)

    def needed(self, now: float) -> int:
        """Workers that are needed at least; 0 where nothing is known."""
        return self.least if self.least and now - self.proven_at < MEMORY_SECONDS else 0
