"""A source may be larger than the machine: it is read in flat memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from accept.bound import Bound, at_most, same, told

_BENCH = Path(__file__).parents[1] / "unit" / "tasks" / "bench_sources.py"
_SHAPE = "JSON Lines, 15 bytes"
_MIB = 2**20


def many_lines(folder: Path, *, count: int, mebibytes: int) -> Iterator[Bound]:
    """JSON Lines that are made as they are read, in a process of their own: the pass that checks them, and the one that
    releases."""
    with subprocess.Popen(
        [sys.executable, _BENCH, str(count), f"--shape={_SHAPE}", "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as bench:
        assert bench.stdout is not None
        measured = {found["what"]: found for found in map(json.loads, bench.stdout)}
    yield same("exit code", bench.returncode, 0)
    for what, tasks in (("scan", count), ("read(0)", count), ("read(90 %)", count - count * 9 // 10)):
        found = measured[what]
        yield same(f"{what}: tasks", found["tasks"], tasks)
        yield at_most(f"{what}: memory over that before", found["growth"] / _MIB, mebibytes, " MiB")
        yield told(f"{what}: speed", f"{found['lines_per_second']:,.0f} lines/s")
