"""nats-py used plainly: ``publish_async``, also of results that are kept; ``fetch`` and ``ack``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from benchmarks.broker import SETTINGS, streams
from benchmarks.contender import Readings, Sizes
from benchmarks.program import running
from jobrun_worker import wire

_PROGRAM = Path(__file__).parents[1] / "programs" / "plain_nats.py"
RESULTS = 10
"""A result costs it several times as much as a task: a tenth of the tasks is enough to measure."""


class NatsPy:
    name = "nats-py"
    trials = ("release", "work", "work-results")

    def __init__(self, url: str) -> None:
        self._url = url

    async def prepare(self, folder: Path) -> str:
        return ""

    async def trial(self, trial: str, sizes: Sizes) -> Readings:
        async with streams(self._url) as run:
            command: list[str | Path] = [sys.executable, _PROGRAM]
            if trial == "release":
                command += ["publish", run.url, run.stream, run.subject, wire.CONSUMER, str(sizes.release)]
                async with running(command) as client:
                    written = await client.wait()
                await run.check(sizes.release)
                return {"release": sizes.release / float(written)}
            tasks = sizes.work if trial == "work" else max(1000, sizes.work // RESULTS)
            what, subject = (
                ("work", run.subject) if trial == "work" else ("results", SETTINGS.names.ok(run.uid, ""))
            )
            await run.fill(tasks)
            command += [what, run.url, run.stream, subject.removesuffix("."), wire.CONSUMER, str(tasks)]
            async with running(command) as client:
                rate = await run.drained(tasks, lambda: None)
                cpu = client.cpu_seconds()
                await client.wait()
            return {trial: rate, f"{trial}-cpu": cpu * 100_000 / tasks}

    def versions(self) -> Mapping[str, str]:
        return {"nats-py": metadata.version("nats-py")}
