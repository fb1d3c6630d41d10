"""When a workers' consumer has lost sight of what is left in its stream, and has to be made again.

A broker that was killed can come back with a consumer that is above its messages: there are tasks in the stream,
yet none that waits and none that a worker holds, and so it stays. One look at a run is several reads and may show
that in passing, while the last task is being acked; three looks that show the same can't.
"""

from __future__ import annotations

from dataclasses import dataclass

LOOKS = 3
"""So many in a row that show the same."""


@dataclass(frozen=True, slots=True)
class Look:
    """The stream and its consumer at about one moment. Numbers of tasks, but for ``last_seq`` and ``deliveries``."""

    last_seq: int
    messages: int
    waiting: int
    held: int
    deliveries: int

    @property
    def is_suspicious(self) -> bool:
        return self.messages > 0 and self.waiting == 0 and self.held == 0


@dataclass(frozen=True, slots=True)
class Watch:
    """What the looks so far say; a value, replaced at every look."""

    look: Look | None = None
    times: int = 0

    def after(self, look: Look) -> Watch:
        if not look.is_suspicious:
            return Watch()
        return Watch(look, self.times + 1 if look == self.look else 1)

    @property
    def is_stuck(self) -> bool:
        return self.times >= LOOKS
