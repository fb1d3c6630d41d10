"""A contender's process: started, watched and ended by its id, with what it used."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

MIB = 2**20
LIMIT = 120.0
"""Seconds that one trial may take."""


class Failed(Exception):
    """A contender did not do what it was started for; says what it wrote last."""


class Program:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Used so far by this process and its children, those that have ended included."""
        ticks = os.sysconf("SC_CLK_TCK")
        return sum(_ticks(pid) for pid in (self.pid, *_children(self.pid))) / ticks

    def peak_mib(self) -> float:
        """The most memory that it had, and its children."""
        return sum(_status(pid, "VmHWM") for pid in (self.pid, *_children(self.pid))) / MIB

    def resident_mib(self) -> float:
        return sum(_status(pid, "VmRSS") for pid in (self.pid, *_children(self.pid))) / MIB

    def check(self) -> None:
        """Raises Failed where it has ended."""
        if self._process.returncode is not None:
            raise Failed(f"ended with {self._process.returncode} before its work was done")

    async def wait(self) -> str:
        """What it wrote, after it has ended well."""
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT):
            written = await self._process.stdout.read()
            code = await self._process.wait()
        if code:
            raise Failed(f"ended with {code}: {written.decode(errors='replace')[-2000:]}")
        return written.decode()


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> AsyncIterator[Program]:
    """Started, and ended at the end of the block: SIGTERM, after 10 s SIGKILL. What it writes goes to ``log``."""
    with contextlib.ExitStack() as files:
        out = files.enter_context(log.open("ab")) if log else asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            cwd=cwd,
            env=dict(os.environ) | dict(env or {}),
            stdout=out,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *_children(int(child))]
    return found


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))  # utime, stime and those of children that were waited for: proc(5)


def _status(pid: int, name: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return 1024 * int(status.split(f"{name}:")[1].split()[0])
