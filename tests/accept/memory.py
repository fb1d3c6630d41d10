"""Engine and workers keep nothing of a task that has ended, and ask the broker no more often for how many there were:
memory and requests after two million are what they were early on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats

from accept.bound import Bound, at_most, same, told
from accept.complete import worker
from support.local_run import LocalRun
from support.process_marks import Process, resident

_MIB = 2**20
_WORKERS = 2
_EARLY, _LATE = (0.1, 0.2), (0.9, 1.0)
"""Parts of the run's tasks: buffers, caches and the allocator's arenas have their size by the first."""
GROWTH = 8 * _MIB
"""From early to late lie 1.6 million tasks: one pointer kept of each would be 12.2 MiB."""
_FIRST_HALF, _SECOND_HALF = (0.1, 0.5), (0.5, 0.9)
MORE_REQUESTS = 1.5
"""What followed the number of tasks would be more than twice as much in the second half."""
_LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class _Sample:
    ended: float
    """Part of the run's tasks."""
    at: float
    """Seconds of a clock that doesn't go back."""
    requests: int
    """To JetStream's API so far: looks at streams and consumers, not tasks and results."""
    memory: dict[str, int]
    """Bytes, by process."""


def flat(folder: Path, *, count: int) -> Iterator[Bound]:
    """No rate, and handlers that do nothing: the number of tasks is all that grows."""
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "worker": worker("async_noop", concurrency=64),
        "scaling": {"minReplicas": _WORKERS, "maxReplicas": _WORKERS},
    }
    with LocalRun(folder, spec) as run:
        run.command = ["local", "run", "run.yaml", "--data-dir", "data", "--json"]
        run.command += ["--max-workers", str(_WORKERS)]
        began = time.monotonic()
        run.start()
        run.until_workers(_WORKERS, within=120)
        processes = _watched(run)
        samples = _watch(run, processes, count)
        ended = run.wait(within=60)
        seconds = time.monotonic() - began
        yield same("exit code", ended.code, 0)
        yield same("succeeded", ended.tasks["succeeded"], count)
        yield told("tasks a second, start and end included", f"{count / seconds:,.0f}/s")
        for name in processes:
            early, late = (_most(samples, name, part) for part in (_EARLY, _LATE))
            yield told(f"{name}: memory early and late", f"{early / _MIB:.1f} MiB, {late / _MIB:.1f} MiB")
            yield at_most(f"{name}: growth", (late - early) / _MIB, GROWTH / _MIB, " MiB")
        first, last = _asked(samples, _FIRST_HALF), _asked(samples, _SECOND_HALF)
        yield told("requests about the state, first and second half", f"{first:.0f}/s, {last:.0f}/s")
        yield at_most("second half to first", last / first, MORE_REQUESTS)


def _watched(run: LocalRun) -> dict[str, Process]:
    """Engine and workers. The command is the oldest process of all that it starts."""
    workers = {f"worker {number}": one for number, one in enumerate(run.workers(), start=1)}
    return {"engine": run.processes()[0]} | workers


def _watch(run: LocalRun, processes: dict[str, Process], count: int) -> list[_Sample]:
    samples: list[_Sample] = []
    deadline = time.monotonic() + 60 + count / 500
    with asyncio.Runner() as runner:
        client = runner.run(nats.connect(**_login(run), allow_reconnect=False, error_cb=_ignore))
        while not run.ended and time.monotonic() < deadline:
            ended = run.status().get("tasks", {}).get("succeeded", 0) / count
            memory = {name: resident(process.pid) for name, process in processes.items()}
            with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):  # the run is over
                answer = json.loads(runner.run(client.request("$JS.API.INFO", timeout=5)).data)
                if all(memory.values()):  # else one is on its way out
                    samples.append(_Sample(ended, time.monotonic(), answer["api"]["total"], memory))
            time.sleep(_LOOK_SECONDS)
        runner.run(client.close())
    return samples


def _login(run: LocalRun) -> dict[str, str]:
    """At the run's broker, as a worker was given it."""
    lines = Path(f"/proc/{run.workers()[0].pid}/environ").read_text().split("\0")
    given = dict(line.split("=", 1) for line in lines if line)
    return {
        "servers": given["JOBRUN_NATS_URL"],
        "user": given["JOBRUN_NATS_USER"],
        "password": given["JOBRUN_NATS_PASSWORD"],
    }


async def _ignore(_: Exception) -> None:
    """The broker ends with the run."""


def _asked(samples: list[_Sample], part: tuple[float, float]) -> float:
    """Requests a second, this one's own included."""
    low, high = part
    within = [sample for sample in samples if low <= sample.ended <= high]
    return (within[-1].requests - within[0].requests) / (within[-1].at - within[0].at)


def _most(samples: list[_Sample], name: str, part: tuple[float, float]) -> int:
    low, high = part
    return max(sample.memory[name] for sample in samples if low <= sample.ended <= high)
