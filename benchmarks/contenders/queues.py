"""Task queues that a user would take instead: each with one worker process, set up as its documentation says for many
short tasks, and measured by when its handlers begin.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import redis
from benchmarks.contender import Readings, Sizes
from benchmarks.marks import Marks
from benchmarks.observing import observed_latency, observed_start
from benchmarks.program import Program, running

PROGRAMS = Path(__file__).parents[1] / "programs"
SHARE = 10
"""They do a tenth of the tasks of a trial: their rates are that much lower."""


class Queue:
    """What is the same for all of them; each says how it is started."""

    name = ""
    trials: Sequence[str] = ("release", "work", "work-results", "start-latency", "start-up")
    packages: Mapping[str, str] = {}
    """Distributions that it needs, with a module of each."""
    program = ""
    """Of ``programs``: a module with the tasks, which sends when run."""

    def __init__(self, nats_url: str) -> None:
        self._nats_url = nats_url
        self._folder = Path()

    async def prepare(self, folder: Path) -> str:
        self._folder = folder
        if absent := [name for name, module in self.packages.items() if find_spec(module) is None]:
            return f"pip install '.[bench]' ({', '.join(absent)})"
        return self.missing()

    def missing(self) -> str:
        """Why its server can't be started."""
        return redis.missing()

    def server(self) -> AbstractAsyncContextManager[str]:
        """Its URL."""
        return redis.redis_server()

    def worker(self) -> Sequence[str | Path]:
        """The command of one worker process."""
        raise NotImplementedError

    def environment(self, trial: str) -> Mapping[str, str]:
        """Further variables for worker and sender."""
        return {}

    def versions(self) -> Mapping[str, str]:
        return {name: metadata.version(name) for name in self.packages}

    async def trial(self, trial: str, sizes: Sizes) -> Readings:
        async with self.server() as url:
            environment = {
                "BENCH_URL": url,
                "BENCH_NAME": f"bench-{uuid.uuid4().hex}",
                "BENCH_RESULTS": "1" if trial == "work-results" else "0",
                "PYTHONPATH": str(PROGRAMS),
                **self.environment(trial),
            }
            match trial:
                case "release":
                    tasks = sizes.release // SHARE
                    return {"release": tasks / (await self._send(environment, "count", tasks))["seconds"]}
                case "start-latency":
                    marks = Marks(self._folder / f"{self.name}.marks", sizes.latency + 1)
                    async with self._working(environment, marks) as worker:
                        return await observed_latency(
                            worker, marks, sizes, lambda *what: self._send(environment, *what)
                        )
                case "start-up":
                    marks = Marks(self._folder / f"{self.name}.marks", 1)
                    await self._send(environment, "mark", 1)
                    begun = time.time_ns()
                    async with self._working(environment, marks) as worker:
                        return await observed_start(worker, marks, begun)
            return await self._work(trial, environment, sizes.work // SHARE)

    async def _work(self, trial: str, environment: Mapping[str, str], tasks: int) -> Readings:
        """From the beginning of the first handler to that of the last."""
        marks = Marks(self._folder / f"{self.name}.marks", tasks)
        await self._send(environment, "count", tasks)
        async with self._working(environment, marks) as worker:
            found = await marks.until(2, worker.check)
            cpu, peak = worker.cpu_seconds(), worker.peak_mib()
        readings = {trial: (tasks - 1) * 1e9 / (found[1] - found[0]), f"{trial}-cpu": cpu * 100_000 / tasks}
        return readings | ({"work-memory": peak} if trial == "work" else {})

    @asynccontextmanager
    async def _working(self, environment: Mapping[str, str], marks: Marks) -> AsyncIterator[Program]:
        env = {**environment, **marks.environment}
        async with running(
            self.worker(), cwd=PROGRAMS, env=env, log=self._folder / f"{self.name}.log"
        ) as worker:
            yield worker

    async def _send(self, environment: Mapping[str, str], *what: object) -> dict[str, Any]:
        command: list[str | Path] = [sys.executable, PROGRAMS / f"{self.program}.py", *map(str, what)]
        async with running(command, cwd=PROGRAMS, env=environment) as sender:
            found: dict[str, Any] = json.loads((await sender.wait()).splitlines()[-1])
        return found


class CeleryRedis(Queue):
    """Its default pool, with one process in it: by the documentation the one for work that keeps a processor busy."""

    name = "celery-redis"
    packages: Mapping[str, str] = {"celery": "celery", "redis": "redis"}
    program = "celery_queue"

    def worker(self) -> Sequence[str | Path]:
        options = [
            "--pool=prefork",
            "--concurrency=1",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
        return [sys.executable, "-m", "celery", "-A", self.program, "worker", "--loglevel=WARNING", *options]


class DramatiqRedis(Queue):
    """One process with its default of eight threads."""

    name = "dramatiq-redis"
    packages: Mapping[str, str] = {"dramatiq": "dramatiq", "redis": "redis"}
    program = "dramatiq_queue"

    def worker(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "dramatiq", self.program, "--processes", "1", "--skip-logging"]


class TaskiqNats(Queue):
    """On the same nats-server as JobRun, by its pulling broker."""

    name = "taskiq-nats"
    packages: Mapping[str, str] = {"taskiq": "taskiq", "taskiq-nats": "taskiq_nats"}
    program = "taskiq_queue"

    def missing(self) -> str:
        return ""

    @asynccontextmanager
    async def server(self) -> AsyncIterator[str]:
        yield self._nats_url

    def environment(self, trial: str) -> Mapping[str, str]:
        return {"BENCH_FETCH": "500"} if trial.startswith("work") else {}

    def worker(self) -> Sequence[str | Path]:
        options = ["--workers", "1", "--max-async-tasks", "1000", "--log-level", "WARNING"]
        return [sys.executable, "-m", "taskiq", "worker", f"{self.program}:broker", *options]
