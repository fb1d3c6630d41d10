"""Workers that are killed or drained in the middle of tasks."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from accept.bound import Bound, at_least, at_most, same, told, true
from accept.complete import completed, worker
from support.local_run import LocalRun
from support.measure import SECOND


def killed_in_mid_task(folder: Path, *, count: int, seconds: float) -> Iterator[Bound]:
    """What a killed worker held runs again; nothing is lost."""
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "worker": worker("slow", concurrency=8),
        "scaling": {"minReplicas": 2, "maxReplicas": 2},
    }
    with LocalRun(folder, spec, "--max-workers", "2", env={"HANDLER_SECONDS": str(seconds)}) as run:
        run.start().until_workers(2)
        run.until_started(count // 4)
        process = run.workers()[0]
        victim = process.pid
        run.until(partial(_stopped_in_mid_task, run, process, seconds), "a task in the victim")
        process.send(signal.SIGKILL)
        ended = run.wait(within=120)
        yield from completed(run, ended, count)
        attempts = Counter(line["attempts"] for line in run.results())
        yield at_least("tasks that ran again", sum(number for one, number in attempts.items() if one > 1), 1)
        again = [line for line in run.results() if line["attempts"] > 1]
        held = {start.index for start in run.starts() if start.pid == victim}
        yield true("only what the killed worker held ran again", {line["index"] for line in again} <= held)


def _stopped_in_mid_task(run: LocalRun, process: Any, seconds: float) -> bool:
    """Stopped, it can't finish between the look and the kill what it is seen to work on."""
    process.send(signal.SIGSTOP)
    began = time.time_ns() - int(0.8 * seconds * SECOND)
    if any(start.pid == process.pid and start.time > began for start in run.starts()):
        return True
    process.send(signal.SIGCONT)
    return False


def poisonous_task(folder: Path, *, count: int, index: int, attempts: int) -> Iterator[Bound]:
    """One task kills every worker that takes it, among 15 neighbours: it alone becomes a dead letter."""
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "worker": worker("poison", concurrency=16),
        "retry": {"maxAttempts": attempts},
    }
    env = {"HANDLER_POISON": str(index), "HANDLER_SECONDS": "0.05"}
    with LocalRun(folder, spec, env=env) as run:
        ended = run.run(within=180)
        yield from completed(run, ended, count, failed=1)
        failed = [line for line in run.results() if line["outcome"] == "Failed"]
        yield same("dead letters", [line["index"] for line in failed], [index])
        yield true("it says that its worker was lost", "was lost" in failed[0]["error"], failed[0]["error"])
        yield same("attempts of it", failed[0]["attempts"], attempts)
        most = max(line["attempts"] for line in run.results() if line["index"] != index)
        yield told("most attempts of a neighbour", str(most))


def drained(folder: Path, *, count: int, drains: int, seconds: float) -> Iterator[Bound]:
    """SIGTERM to a worker in the middle of its tasks, again and again: no attempt is used up for it."""
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "worker": worker("slow", concurrency=8),
        "retry": {"maxAttempts": 2},
        "scaling": {"minReplicas": 2, "maxReplicas": 2},
    }
    with LocalRun(folder, spec, "--max-workers", "2", env={"HANDLER_SECONDS": str(seconds)}) as run:
        run.start()
        busy = 0
        for number in range(drains):
            pid = _one_at_work(run)
            os.kill(pid, signal.SIGTERM)
            run.until(partial(_has_ended, run, pid), f"the end of drain {number}")
            busy += 1
        yield same("drains of a worker at work", busy, drains)
        ended = run.wait(within=180)
        yield from completed(run, ended, count)
        yield same(
            "attempts of all tasks", dict(Counter(line["attempts"] for line in run.results())), {1: count}
        )
        yield told("starts of handlers", f"{len(run.starts()):,}")


def drained_in_flight(folder: Path, *, tasks: int, seconds: float) -> Iterator[Bound]:
    """SIGTERM to a worker whose slots are all taken: it finishes what it has begun, and nothing else."""
    spec: dict[str, Any] = {
        "tasks": {"count": 4 * tasks},
        "worker": worker("slow", concurrency=tasks, taskTimeoutSeconds=int(10 * seconds)),
        "retry": {"maxAttempts": 1},
        "scaling": {"minReplicas": 2, "maxReplicas": 2},
    }
    with LocalRun(folder, spec, "--max-workers", "2", env={"HANDLER_SECONDS": str(seconds)}) as run:
        run.start().until_workers(2)
        victim: int = run.until(lambda: _busy(run, tasks, seconds), f"a worker with {tasks} begun tasks")
        os.kill(victim, signal.SIGTERM)
        told_at = time.time_ns()
        run.until(partial(_has_ended, run, victim), "its end")
        lived = (time.time_ns() - told_at) / SECOND
        ended = run.wait(within=120)
        yield from completed(run, ended, 4 * tasks)
        starts = run.starts()
        in_flight = [
            start for start in starts if start.pid == victim and start.time > told_at - seconds * SECOND
        ]
        yield same("tasks in flight", len(in_flight), tasks)
        yield true("none that it began after", all(s.time <= told_at for s in starts if s.pid == victim))
        yield at_most("it lived on for", lived, 10 * seconds + 5, " s")
        yield same("starts of a task, at most", max(Counter(start.index for start in starts).values()), 1)


def _busy(run: LocalRun, tasks: int, seconds: float) -> int:
    """The process id of a worker that has just begun so many and will not end one of them soon; or 0."""
    lately = time.time_ns() - int(seconds / 2 * SECOND)
    begun = Counter(start.pid for start in run.starts() if start.time > lately)
    return next((pid for pid, number in begun.items() if number == tasks), 0)


def rolling_update(folder: Path, *, count: int, rate: int, updates: int) -> Iterator[Bound]:
    """All workers are replaced again and again in the middle of a paced run. One attempt is all that a task has."""
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "rate": {"tasks": rate, "periodSeconds": 1},
        "worker": worker("async_logged", concurrency=16),
        "retry": {"maxAttempts": 1},
        "scaling": {"minReplicas": 2, "maxReplicas": 2},
    }
    with LocalRun(folder, spec, "--max-workers", "2") as run:
        run.start().until_workers(2)
        for number in range(1, updates + 1):
            run.until_started(number * count // (updates + 2))
            old = {process.pid for process in run.workers()}
            run.edit(worker=worker("async_logged", concurrency=16, taskTimeoutSeconds=60 + number))
            run.until(partial(_all_replaced, run, old), f"the end of update {number}")
        ended = run.wait(within=60 + 3 * count / rate)
        yield from completed(run, ended, count)
        attempts = dict(Counter(line["attempts"] for line in run.results()))
        yield same("attempts of all tasks", attempts, {1: count})
        starts = run.starts()
        yield at_least("workers that took part", len({start.pid for start in starts}), 2 * (updates + 1))
        yield same("starts of handlers", len(starts), count)
        released = run.released()
        waits = [(start.time - released[start.index]) / SECOND for start in starts]
        yield at_most("longest from release to begin", max(waits), 1.0, " s", of_speed=True)


def _all_replaced(run: LocalRun, old: set[int]) -> bool:
    now = {process.pid for process in run.workers()}
    return len(now) == 2 and not now & old


def _has_ended(run: LocalRun, pid: int) -> bool:
    return pid not in {process.pid for process in run.workers()}


def _one_at_work(run: LocalRun) -> int:
    """The process id of a worker that has begun a task and lives."""
    seen = len(run.starts())

    def found() -> int:
        alive = {process.pid for process in run.workers()}
        return next((start.pid for start in run.starts()[seen:] if start.pid in alive), 0)

    pid: int = run.until(found, "a worker at work")
    return pid
