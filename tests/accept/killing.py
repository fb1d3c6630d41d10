"""SIGKILL of the whole local mode at any moment, each time followed by the same command."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accept.bound import Bound, at_least, at_most, told, true
from accept.complete import completed, worker
from support.local_run import GONE_SECONDS, LocalRun
from support.process_marks import Overdue, until


def killed_again_and_again(
    folder: Path, *, count: int, rate: int, kills: int, latest: float, seed: int = 1
) -> Iterator[Bound]:
    """By turns the command alone and everything below it, keeper and broker included, at random up to ``latest``
    seconds after its start; every third time, after it has begun tasks. Handlers leave processes behind."""
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "rate": {"tasks": rate, "periodSeconds": 1},
        "worker": worker("litter"),
    }
    moments = random.Random(seed)
    lived = []
    releasing = 0
    with LocalRun(folder, spec) as run:
        for number in range(kills):
            begun = len(run.starts())
            run.start()
            if number % 3 == 1:
                run.until_started(begun + 1)
            _after(run, moments.uniform(0.0, latest))
            releasing += len(run.starts()) > begun
            if number % 2:
                run.kill_all()
            else:
                run.kill()
            try:
                lived.append(run.seconds_until_gone())
            except Overdue as late:
                yield true(f"nothing left running after kill {number + 1}", False, late)
                run.kill_all()
        started = len({start.index for start in run.starts()})
        yield at_most("tasks begun before the last kill", started, count - 1)
        yield at_least("kills of a run at work", releasing, 1)
        ended = run.run(within=60 + 3 * count / rate)
        yield from completed(run, ended, count)
        yield at_most(f"longest life after {len(lived)} kills", max(lived), GONE_SECONDS, " s", of_speed=True)
        starts = run.starts()
        yield true("no task without a start", {start.index for start in starts} == set(range(count)))
        yield told("starts, those again included", f"{len(starts):,}")


def broker_killed(folder: Path, *, count: int, rate: int) -> Iterator[Bound]:
    """SIGKILL of nats-server in the middle of a run: it is started again, and no task is lost."""
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "rate": {"tasks": rate, "periodSeconds": 1},
        "worker": worker("async_logged"),
    }
    with LocalRun(folder, spec) as run:
        run.start().until_started(count // 4)
        (broker,) = (process for process in run.processes() if process.is_broker)
        broker.send(signal.SIGKILL)
        ended = run.wait(within=60 + 3 * count / rate)
        yield from completed(run, ended, count)
        yield true("its end and its restart are told", "starting it again" in ended.said, ended.said[-300:])
        yield told("starts, those again included", f"{len(run.starts()):,}")


def _after(run: LocalRun, seconds: float) -> None:
    """The random moment: a time, for once, and no state."""
    moment = time.monotonic() + seconds
    until(lambda: time.monotonic() >= moment or run.ended, "the moment", seconds + 5)
