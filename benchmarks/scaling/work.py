"""The tasks of a run: released, waiting, in a slot, waiting out a delay, in a slot again, finished.

What the broker would show of them is here by its names: a retry that is delayed or due is in workers' hands
(``num_ack_pending``) and never counts as waiting (``num_pending``); it is delivered before what waits. The
delays are the worker's own (``jobrun_worker.decisions.backoff``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from benchmarks.scaling.clock import Clock
from benchmarks.scaling.fleet import Fleet, Pod
from benchmarks.scaling.load import Load
from jobrun_worker.decisions import RetryPolicy, backoff


class Work:
    """All tasks of one run. Counts only go up."""

    def __init__(self, clock: Clock, fleet: Fleet, load: Load, policy: RetryPolicy) -> None:
        self._clock, self._fleet, self._load, self._policy = clock, fleet, load, policy
        self._waiting: deque[float] = deque()
        """When each was released."""
        self._due: deque[tuple[float, int, int]] = deque()
        """(since, index, failures)."""
        self._delayed = 0
        self.released = 0
        self.begun = 0
        """Tasks whose first attempt has begun: those of the lowest indices."""
        self.finished = 0
        self.attempts = 0
        """Attempts that have ended."""
        self.starts: list[float] = []
        """When each attempt began."""
        self.on_more: Callable[[], None] = lambda: None
        """Called when there is more to do."""
        fleet.on_ready = self._deliver

    @property
    def total(self) -> int:
        return self._load.total

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def outstanding(self) -> int:
        return self.released - self.finished

    @property
    def held(self) -> int:
        """In workers' hands as the broker counts, delayed retries included."""
        return self.outstanding - self.waiting

    @property
    def runnable(self) -> int:
        """Running, or would be if there was a slot."""
        return self.outstanding - self._delayed

    @property
    def repeats(self) -> int:
        """Deliveries that were not a task's first."""
        return len(self.starts) - self.begun

    def oldest(self) -> float:
        """Seconds for which the oldest task has waited for a slot, since it was released or its retry was due."""
        now = self._clock.now
        released = self._waiting[0] if self._waiting else now
        due = self._due[0][0] if self._due else now
        return now - min(released, due)

    def release(self, count: int) -> None:
        self._waiting.extend([self._clock.now] * count)
        self.released += count
        self._deliver()
        self.on_more()

    def _deliver(self) -> None:
        while self._due or self._waiting:
            pod = self._fleet.take()
            if pod is None:
                return
            if self._due:
                _, index, failures = self._due.popleft()
            else:
                self._waiting.popleft()
                index, failures = self.begun, 0
                self.begun += 1
            self._begin(pod, index, failures)

    def _begin(self, pod: Pod, index: int, failures: int) -> None:
        attempt = self._load.attempt(index, failures)
        self.starts.append(self._clock.now)

        def end() -> None:
            self.attempts += 1
            self._fleet.give_back(pod)
            if attempt.fails and failures + 1 < self._policy.max_attempts:
                self._delay(index, failures + 1, backoff(failures + 1, self._policy, attempt.roll))
            else:
                self.finished += 1
            self._deliver()

        self._clock.after(attempt.seconds, end)

    def _delay(self, index: int, failures: int, seconds: float) -> None:
        self._delayed += 1

        def due() -> None:
            self._delayed -= 1
            self._due.append((self._clock.now, index, failures))
            self._deliver()
            self.on_more()

        self._clock.after(seconds, due)
