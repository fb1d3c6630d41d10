"""The limit: a C client on the same broker, with asynchronous publish, and fetch with acks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.broker import Streams, streams
from benchmarks.contender import Readings, Sizes
from benchmarks.program import running
from benchmarks.records import airports
from jobrun_worker import wire

_SOURCE = Path(__file__).parents[1] / "programs" / "client.c"


class CClient:
    name = "c-client"
    trials = ("release", "release-records", "work")

    def __init__(self, url: str) -> None:
        self._url = url
        self._folder = self._binary = Path()

    async def prepare(self, folder: Path) -> str:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            return "no C compiler: apt-get install gcc libc6-dev libnats-dev"
        self._folder, self._binary = folder, folder / "client"
        made = subprocess.run(  # noqa: ASYNC221  # nothing else runs yet
            [compiler, "-O2", "-Wall", "-o", str(self._binary), str(_SOURCE), "-lnats"],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if made.returncode == 0 else f"apt-get install libnats-dev ({made.stderr.strip()[:200]})"

    async def trial(self, trial: str, sizes: Sizes) -> Readings:
        async with streams(self._url) as run:
            if trial == "work":
                return await self._work(run, sizes.work)
            if trial == "release":
                arguments = ["publish", run.url, run.subject, str(sizes.release)]
            else:
                lines = airports(self._folder, sizes.release)
                arguments = ["publish-lines", run.url, run.subject, str(lines)]
            async with running([self._binary, *arguments]) as client:
                seconds = await client.wait()
            await run.check(sizes.release)
            return {trial: sizes.release / float(seconds)}

    async def _work(self, run: Streams, tasks: int) -> Readings:
        await run.fill(tasks)
        async with running([self._binary, "work", run.url, run.stream, wire.CONSUMER, str(tasks)]) as client:
            rate = await run.drained(tasks, lambda: None)
            await client.wait()
        return {"work": rate}

    def versions(self) -> Mapping[str, str]:
        found = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", "libnats-dev"],
            capture_output=True,
            text=True,
            check=False,
        )
        return {"libnats": found.stdout.strip() or "unknown"}
