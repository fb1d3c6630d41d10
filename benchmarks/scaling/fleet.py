"""The pods of a run and their slots, and what they cost.

A pod counts from when it is asked for until it has gone. A new one takes its start time before it works. One
that is asked to go takes no more, finishes what it holds and is gone: first those that have not started yet,
then the newest, as a ReplicaSet chooses (kubernetes.io/docs/concepts/workloads/controllers/replicaset, "Scaling
a ReplicaSet").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.scaling.clock import Clock


@dataclass(eq=False, slots=True)
class Pod:
    asked_at: float
    busy: int = 0
    """Slots in use."""
    leaving: bool = False


class Fleet:
    """``concurrency`` slots in each pod, which takes ``start_seconds`` to start."""

    def __init__(self, clock: Clock, concurrency: int, start_seconds: float) -> None:
        self._clock = clock
        self._concurrency = concurrency
        self._start_seconds = start_seconds
        self._starting: list[Pod] = []
        self._serving: list[Pod] = []
        self._leaving = 0
        self.on_ready: Callable[[], None] = lambda: None
        self.busy = 0
        """Slots in use in all pods."""
        self.changes: list[tuple[float, int]] = [(0.0, 0)]
        """(time, replicas asked for) at each scale event."""
        self.replica_seconds = 0.0
        """Of the pods that have gone."""

    @property
    def replicas(self) -> int:
        """As asked for."""
        return len(self._starting) + len(self._serving)

    @property
    def ready(self) -> int:
        return len(self._serving)

    @property
    def empty(self) -> bool:
        return not self.replicas and not self._leaving

    def spent(self) -> float:
        """Replica-seconds up to now; those that are leaving count when they have gone."""
        present = (*self._starting, *self._serving)
        return self.replica_seconds + sum(self._clock.now - pod.asked_at for pod in present)

    def scale(self, replicas: int) -> None:
        if replicas == self.replicas:
            return
        for _ in range(replicas, self.replicas):
            self._send_away((self._starting or self._serving).pop())
        for _ in range(self.replicas, replicas):
            self._start()
        self.changes.append((self._clock.now, replicas))

    def take(self) -> Pod | None:
        """A slot of the least busy pod, if there is a free one."""
        pod = min(self._serving, key=_busy, default=None)
        if pod is None or pod.busy >= self._concurrency:
            return None
        pod.busy += 1
        self.busy += 1
        return pod

    def give_back(self, pod: Pod) -> None:
        """One of its slots."""
        pod.busy -= 1
        self.busy -= 1
        if pod.leaving and not pod.busy:
            self._leaving -= 1
            self._gone(pod)

    def _start(self) -> None:
        pod = Pod(self._clock.now)
        self._starting.append(pod)
        if self._start_seconds > 0:
            self._clock.after(self._start_seconds, lambda: self._started(pod))
        else:
            self._started(pod)

    def _started(self, pod: Pod) -> None:
        if pod in self._starting:  # else it was sent away meanwhile
            self._starting.remove(pod)
            self._serving.append(pod)
            self.on_ready()

    def _send_away(self, pod: Pod) -> None:
        if pod.busy:
            pod.leaving = True
            self._leaving += 1
        else:
            self._gone(pod)

    def _gone(self, pod: Pod) -> None:
        self.replica_seconds += self._clock.now - pod.asked_at


def _busy(pod: Pod) -> int:
    return pod.busy
