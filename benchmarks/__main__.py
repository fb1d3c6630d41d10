"""``python -m benchmarks``: each contender in turn, several rounds, as a table and as build/bench.json.

Trials are interleaved: within a round one contender follows the other, so that what else the machine does falls on all
of them. Compare within a run, by ratio, and only where the machine had nothing else to do: a server and a process of
Python don't lose the same by it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contender import Contender, Sizes
from benchmarks.contenders.c_client import CClient
from benchmarks.contenders.jobrun import JobRun
from benchmarks.contenders.nats_py import NatsPy
from benchmarks.contenders.queues import CeleryRedis, DramatiqRedis, TaskiqNats
from benchmarks.measures import MEASURES, TRIALS
from benchmarks.program import Failed
from benchmarks.report import rows, table
from support.nats_server import NatsServer

BUILD = Path(__file__).parents[1] / "build"
IDLE_LOAD = 1.0
"""The 1-minute load average from which the machine has something else to do."""

CONTENDERS = (CClient, JobRun, NatsPy, TaskiqNats, CeleryRedis, DramatiqRedis)
NAMES = [contender.name for contender in CONTENDERS]


async def bench(
    names: Sequence[str], trials: Sequence[str], rounds: int, sizes: Sizes, folder: Path, jetstream: str = ""
) -> dict[str, Any]:
    """The content of bench.json. ``jetstream``: settings of the nats-server that differ from its defaults."""
    load_before = os.getloadavg()[0]
    if load_before > IDLE_LOAD:
        _say(
            f"warning: the load is {load_before:.1f} before anything is measured: neither figures nor ratios hold"
        )
    async with NatsServer(folder / "nats", jetstream=jetstream) as server:
        found: dict[tuple[str, str], list[float]] = defaultdict(list)
        ready, skipped = await _prepared(names, server.url, folder)
        for number in range(1, rounds + 1):
            for trial in trials:
                for contender in ready:
                    if trial not in contender.trials or contender.name in skipped:
                        continue
                    try:
                        readings = await contender.trial(trial, sizes)
                    except (Failed, TimeoutError) as error:
                        skipped[contender.name] = f"{trial}: {error or 'not done in time'}"
                        _say(f"{contender.name} left out: {skipped[contender.name]}")
                        continue
                    for measure, value in readings.items():
                        found[measure, contender.name].append(value)
                    shown = ", ".join(f"{measure} {value:,.4g}" for measure, value in readings.items())
                    _say(f"round {number}/{rounds}  {contender.name:<14} {shown}")
    versions: dict[str, str] = {"python": platform.python_version()}
    for contender in ready:
        versions |= contender.versions()
    measured = machine(load_before) | {"nats_server": jetstream or "default settings"}
    return {"machine": measured, "versions": versions, "rows": rows(found), "skipped": skipped}


async def _prepared(names: Sequence[str], url: str, folder: Path) -> tuple[list[Contender], dict[str, str]]:
    ready: list[Contender] = []
    skipped = {}
    for make in CONTENDERS:
        if make.name not in names:
            continue
        contender = make(url)
        if why := await contender.prepare(folder):
            skipped[make.name] = why
            _say(f"{make.name} skipped: {why}")
        else:
            ready.append(contender)
    return ready, skipped


def machine(load_before: float) -> dict[str, Any]:
    """What it was measured on; ``load``, of now, has the benchmark's own in it."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": platform.platform(),
        "load_before": load_before,
        "load": os.getloadavg()[0],
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _words(given: str, known: Sequence[str], option: str) -> list[str]:
    words = given.replace(",", " ").split()
    if unknown := sorted(set(words) - set(known)):
        raise SystemExit(f"{option}: {', '.join(unknown)} unknown; there are {', '.join(known)}")
    return words or list(known)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measures", default="", help=f"of {', '.join(MEASURES)}; all by default")
    parser.add_argument("--contenders", default="", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--release", type=int, default=300_000, metavar="TASKS")
    parser.add_argument("--work", type=int, default=100_000, metavar="TASKS")
    parser.add_argument(
        "--jetstream",
        default="",
        metavar="SETTINGS",
        help='of the nats-server, in its configuration\'s words: "sync_interval: always", as in the chart',
    )
    parser.add_argument("--out", type=Path, default=BUILD / "bench.json")
    given = parser.parse_args()
    names = _words(given.contenders, NAMES, "--contenders")
    wanted = {MEASURES[name].trial for name in _words(given.measures, list(MEASURES), "--measures")}
    with tempfile.TemporaryDirectory(prefix="jobrun-bench-") as folder:
        result = asyncio.run(
            bench(
                names,
                [trial for trial in TRIALS if trial in wanted],
                given.rounds,
                Sizes(given.release, given.work),
                Path(folder),
                given.jetstream,
            )
        )
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    for line in table(result["rows"]):
        print(line)
    for name, why in result["skipped"].items():
        print(f"{name}: skipped: {why}")
    print(f"written to {given.out}")


if __name__ == "__main__":
    main()
