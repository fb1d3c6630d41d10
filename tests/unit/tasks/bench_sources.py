"""How fast a source is read and how much memory that takes; not a test by itself: ``python bench_sources.py [LINES]``.

Prints, for 10 million lines by default: lines/s of a scan and of reading from the start and near the end, how far
memory grew, and the longest time that the event loop was held up. What is read has no version, so that each pass is
proved to be the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from jobrun_operator.tasks.csvlines import CsvLines
from jobrun_operator.tasks.jsonlines import JsonLines
from jobrun_operator.tasks.records import RecordParser
from jobrun_operator.tasks.streamed import OpenBytes, StreamedSource

CHUNK = 128 * 1024


class Generated:
    """A ``ByteStream`` of so many lines, made as they are read."""

    name = "generated"

    def __init__(self, lines: int, header: bytes, line: Callable[[int], bytes]) -> None:
        self._lines = lines
        self._header = header
        self._line = line
        block = b"".join(line(i) for i in range(10_000))
        self._block = block

    async def version(self) -> str:
        return ""

    @asynccontextmanager
    async def open(self, expected: str = "") -> AsyncIterator[OpenBytes]:
        yield OpenBytes("", self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield self._header
        for _ in range(self._lines // 10_000):
            for start in range(0, len(self._block), CHUNK):
                yield self._block[start : start + CHUNK]


class Ticks:
    """How late a task gets its turn at most that asks for one every 10 ms, in CPU time: seconds in which this
    thread did not run because others had the processor don't count."""

    longest = 0.0

    async def run(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.01)
            self.longest = max(self.longest, time.thread_time() - before - 0.01)


def peak() -> int:
    """Bytes of memory that this process had at most. ``ru_maxrss`` would count those of the one that started it."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not on Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


@dataclass
class Measured:
    shape: str
    what: str
    tasks: int
    """Found; those before the first asked for don't count."""
    lines_per_second: float
    growth: int
    """Bytes of memory at most, over what there was before this source."""
    held_up: float
    """Seconds that the event loop was held up at most."""


Shape = tuple[bytes, Callable[[int], bytes], type[RecordParser]]

SHAPES: Mapping[str, Shape] = {
    "JSON Lines, 15 bytes": (b"", lambda i: b'{"id": %06d}\n' % (100_000 + i), JsonLines),
    "JSON Lines, 2 bytes": (b"", lambda i: b"1\n", JsonLines),
    "JSON Lines, 200 bytes": (b"", lambda i: b'{"id": %d, "text": "%s"}\n' % (i, b"x" * 175), JsonLines),
    "CSV, 2 columns": (b"id,name\n", lambda i: b"%d,name%d\n" % (i, i), CsvLines),
    "CSV, quoted": (b"id,name\n", lambda i: b'%d,"a, %d"\n' % (i, i), CsvLines),
}


async def measure(shape: str, lines: int) -> AsyncIterator[Measured]:
    before = psutil.Process().memory_info().rss
    header, line, parser = SHAPES[shape]
    source = StreamedSource(Generated(lines, header, line), parser, max_payload=983_040)
    for what, start in (("scan", None), ("read(0)", 0), ("read(90 %)", lines * 9 // 10)):
        ticks, begun = Ticks(), time.perf_counter()
        ticker = asyncio.create_task(ticks.run())
        if start is None:
            found = (await source.scan()).count
        else:
            found = 0
            async for chunk in source.read(start):
                found += len(chunk)
        seconds = time.perf_counter() - begun
        ticker.cancel()
        yield Measured(shape, what, found, lines / seconds, peak() - before, ticks.longest)


async def main(lines: int, shapes: Iterable[str], *, as_json: bool) -> None:
    for shape in shapes:
        async for found in measure(shape, lines):
            if as_json:
                print(json.dumps(asdict(found)), flush=True)
                continue
            print(
                f"{found.shape:22} {found.what:10} {found.lines_per_second:>12,.0f} lines/s"
                f"  peak +{found.growth / 2**20:.1f} MiB  loop held up {1000 * found.held_up:.1f} ms at most",
                flush=True,
            )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="How fast a source is read, and in how much memory.")
    arguments.add_argument("lines", nargs="?", type=int, default=10_000_000, help="a multiple of 10,000")
    arguments.add_argument("--shape", choices=SHAPES, action="append", help="of the lines; all by default")
    arguments.add_argument("--json", action="store_true", help="a line of JSON each")
    given = arguments.parse_args()
    asyncio.run(main(given.lines, given.shape or SHAPES, as_json=given.json))
