"""The limit: a C client on the same broker, with asynchronous publish, and fetch with acks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.broker import streams
from benchmarks.contender import Readings, Sizes
from benchmarks.program import running
from jobrun_worker import wire

_SOURCE = Path(__file__).parents[1] / "programs" / "client.c"


class CClient:
    name = "c-client"
    trials = ("release", "work")

    def __init__(self, url: str) -> None:
        self._url = url
        self._binary = Path()

    async def prepare(self, folder: Path) -> str:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            return "no C compiler: apt-get install gcc libc6-dev libnats-dev"
        self._binary = folder / "client"
        made = subprocess.run(  # noqa: ASYNC221  # nothing else runs yet
            [compiler, "-O2", "-Wall", "-o", str(self._binary), str(_SOURCE), "-lnats"],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if made.returncode == 0 else f"apt-get install libnats-dev ({made.stderr.strip()[:200]})"

    async def trial(self, trial: str, sizes: Sizes) -> Readings:
        async with streams(self._url) as run:
            if trial == "release":
                async with running(
                    [self._binary, "publish", run.url, run.subject, str(sizes.release)]
                ) as client:
                    written = await client.wait()
                await run.check(sizes.release)
                return {"release": sizes.release / float(written)}
            await run.fill(sizes.work)
            command = [self._binary, "work", run.url, run.stream, wire.CONSUMER, str(sizes.work)]
            async with running(command) as client:
                rate = await run.drained(sizes.work, lambda: None)
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
