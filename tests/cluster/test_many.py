"""Two hundred runs at once, most of them suspended: all are told what they are, within the budget of writes.

The writes are those of the API server's audit log. So many with ``JOBRUN_LONG_TESTS=1``; else forty.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from itertools import combinations
from typing import Any

from cluster.world import World, job_run
from support.audit import Write
from support.control_plane import ControlPlane

LONG = bool(os.environ.get("JOBRUN_LONG_TESTS"))
RUNS, SUSPENDED = (200, 150) if LONG else (40, 30)
WATCHED = 5 if LONG else 3
"""Seconds after that, for the writes of progress: each of those that run has one in two seconds."""
BUDGET = 20


async def test_many_runs_at_once(world: World, control_plane: ControlPlane) -> None:
    world.kubelet.holding = True  # workers are not what this is about
    operator = world.operator(interval_seconds="1", work_max_bytes=str(1 << 20))
    await world.until(lambda: operator.answer("/readyz")[0] == 200)
    names = [f"run{number:03}" for number in range(RUNS)]
    manifests = [
        job_run(
            name,
            suspend=number < SUSPENDED,
            tasks={"count": 1000},
            rate={"tasks": 5, "periodSeconds": 1},
            scaling={"maxReplicas": 1},
        )
        for number, name in enumerate(names)
    ]
    began = time.monotonic()
    await world.apply(*manifests)

    def phases() -> list[str]:
        items = world.plane.get(world.runs)["items"]
        return [(item.get("status") or {}).get("phase", "") for item in sorted(items, key=name_of)]

    wanted = ["Suspended"] * SUSPENDED + ["Running"] * (RUNS - SUSPENDED)
    await world.until(lambda: phases() == wanted, "all are told", limit=90)
    told = time.monotonic() - began
    await world.until(lambda: len(world.deployments()) == RUNS - SUSPENDED, "workers for those that run")
    cpu, memory = ("process_cpu_seconds_total", ()), ("process_resident_memory_bytes", ())
    before, began = operator.samples(), time.monotonic()
    await world.until(lambda: time.monotonic() - began >= WATCHED)
    after = operator.samples()
    share = (after[cpu] - before[cpu]) / (time.monotonic() - began)
    print(f"then {share:.0%} of a core and {after[memory] / 2**20:.0f} MiB")
    assert after[memory] < 500 * 2**20
    written = control_plane.audit.writes("default", world.namespace)
    print(
        f"{RUNS} runs told in {told:.1f} s; {len(written)} writes in all, {most_in_a_second(written)} in a second"
    )
    told_by = [one for one in written if one.resource == "jobruns/status"]
    assert len(told_by) >= RUNS, "each run has a status"
    assert {one.resource for one in written} == {"jobruns/status", "deployments", "events"}
    # A server that was busy may receive at once what was sent over a second: as much again as the bucket holds.
    for (earlier, first), (later, last) in combinations(enumerate(written), 2):
        assert later - earlier + 1 <= BUDGET * (last.at - first.at) + 2 * BUDGET
    assert all(
        int(item["status"]["observedGeneration"]) == 1 for item in world.plane.get(world.runs)["items"]
    )


def most_in_a_second(written: list[Write]) -> int:
    times = [one.at for one in written]
    return max(bisect_left(times, at + 1) - number for number, at in enumerate(times))


def name_of(item: dict[str, Any]) -> str:
    return str(item["metadata"]["name"])
