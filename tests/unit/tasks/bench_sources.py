"""How fast a source is read and how much memory that takes; not a test: ``python bench_sources.py [LINES]``.

Prints, for 10 million short lines by default: tasks/s of a scan and of reading from the start and near the end, the
growth of the peak RSS, and the longest time that the event loop was held up.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

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


def rss() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(name: str, source: StreamedSource, lines: int) -> None:
    for what, start in (("scan", None), ("read(0)", 0), ("read(90 %)", lines * 9 // 10)):
        ticks, memory, begun = Ticks(), rss(), time.perf_counter()
        ticker = asyncio.create_task(ticks.run())
        if start is None:
            found = (await source.scan()).count
        else:
            found = 0
            async for chunk in source.read(start):
                found += len(chunk)
        seconds = time.perf_counter() - begun
        ticker.cancel()
        assert found == lines - (start or 0), found
        print(
            f"{name:22} {what:10} {lines / seconds:>12,.0f} lines/s  peak +{rss() - memory:.1f} MiB"
            f"  loop held up {1000 * ticks.longest:.1f} ms at most"
        )


async def main(lines: int) -> None:
    shapes: dict[str, tuple[bytes, Callable[[int], bytes], type[RecordParser]]] = {
        "JSON Lines, 15 bytes": (b"", lambda i: b'{"id": %06d}\n' % (100_000 + i), JsonLines),
        "JSON Lines, 2 bytes": (b"", lambda i: b"1\n", JsonLines),
        "JSON Lines, 200 bytes": (b"", lambda i: b'{"id": %d, "text": "%s"}\n' % (i, b"x" * 175), JsonLines),
        "CSV, 2 columns": (b"id,name\n", lambda i: b"%d,name%d\n" % (i, i), CsvLines),
        "CSV, quoted": (b"id,name\n", lambda i: b'%d,"a, %d"\n' % (i, i), CsvLines),
    }
    for name, (header, line, parser) in shapes.items():
        await measure(
            name, StreamedSource(Generated(lines, header, line), parser, max_payload=983_040), lines
        )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000))
