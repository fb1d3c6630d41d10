"""Workers that are killed or drained in the middle of tasks."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from accept.bound import Bound, at_least, same, told, true
from accept.complete import completed, worker
from support.local_run import LocalRun


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
        victim = run.workers()[0].pid
        run.until(lambda: any(start.pid == victim for start in run.starts()[-8:]), "a task in the victim")
        run.workers()[0].send(signal.SIGKILL)
        ended = run.wait(within=120)
        yield from completed(run, ended, count)
        attempts = Counter(line["attempts"] for line in run.results())
        yield at_least("tasks that ran again", sum(number for one, number in attempts.items() if one > 1), 1)
        again = [line for line in run.results() if line["attempts"] > 1]
        held = {start.index for start in run.starts() if start.pid == victim}
        yield true("only what the killed worker held ran again", {line["index"] for line in again} <= held)


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
