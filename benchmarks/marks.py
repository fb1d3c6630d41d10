"""When handlers began, as they have written it to a file: the same for every contender."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.program import LIMIT

VARIABLE, TASKS_VARIABLE = "BENCH_MARKS", "BENCH_TASKS"
"""The file, and the number of tasks, for ``benchmarks.programs.marks``."""

_LOOK = 0.005


class Marks:
    """``environment`` is for the worker's process."""

    def __init__(self, path: Path, tasks: int) -> None:
        self._path = path
        self._path.unlink(missing_ok=True)
        self.environment = {VARIABLE: str(path), TASKS_VARIABLE: str(tasks)}

    def clear(self) -> None:
        """Forget what is written; who writes appends."""
        with self._path.open("r+b") as file:
            file.truncate(0)

    def read(self) -> dict[int, int]:
        """Nanoseconds since the epoch, by index; the first, where a task was begun twice."""
        try:
            lines = self._path.read_text().splitlines()
        except FileNotFoundError:
            return {}
        found: dict[int, int] = {}
        for index, time in (map(int, line.split()) for line in lines):
            found.setdefault(index, time)
        return found

    async def until(self, number: int, check: Callable[[], None]) -> dict[int, int]:
        """Wait for so many. ``check`` raises where nobody works any more."""
        async with asyncio.timeout(LIMIT):
            while len(found := self.read()) < number:
                check()
                await asyncio.sleep(_LOOK)
        return found


def latencies(sent: Sequence[int], began: Mapping[int, int], first: int = 0) -> tuple[float, float]:
    """Milliseconds from ``sent`` (nanoseconds, from index ``first`` on) to the beginning: the median, and the 99th
    percentile."""
    took = sorted((began[index] - at) / 1e6 for index, at in enumerate(sent, first))
    return statistics.median(took), took[min(len(took) - 1, int(0.99 * len(took)))]
