"""Two hundred runs at once, most of them suspended: all are told what they are, within the budget of writes.

So many with ``JOBRUN_LONG_TESTS=1``; else forty.
"""

from __future__ import annotations

import asyncio
import os
import time
from itertools import combinations
from typing import Any

from cluster.world import World, job_run
from support.operator_process import OperatorProcess

RUNS, SUSPENDED = (200, 150) if os.environ.get("JOBRUN_LONG_TESTS") else (40, 30)
BUDGET = 20


async def test_many_runs_at_once(world: World) -> None:
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
    recorded: list[tuple[float, float, float]] = []
    watched = asyncio.create_task(record(operator, recorded))
    began = time.monotonic()
    await world.apply(*manifests)

    def phases() -> list[str]:
        items = world.plane.get(world.runs)["items"]
        return [(item.get("status") or {}).get("phase", "") for item in sorted(items, key=name_of)]

    wanted = ["Suspended"] * SUSPENDED + ["Running"] * (RUNS - SUSPENDED)
    await world.until(lambda: phases() == wanted, "all are told", limit=90)
    told = time.monotonic() - began
    await world.until(lambda: len(world.deployments()) == RUNS - SUSPENDED, "workers for those that run")
    watched.cancel()
    await asyncio.wait({watched})
    # A write is counted when it is answered, so that some of one moment may be counted in the next.
    for (start, _, before), (_, end, after) in combinations(recorded, 2):
        assert after - before <= BUDGET * (end - start) + 2 * BUDGET
    cpu, memory = ("process_cpu_seconds_total", ()), ("process_resident_memory_bytes", ())
    before, began = operator.samples(), time.monotonic()
    await world.until(lambda: time.monotonic() - began >= 5)
    after = operator.samples()
    share = (after[cpu] - before[cpu]) / (time.monotonic() - began)
    print(f"then {share:.0%} of a core and {after[memory] / 2**20:.0f} MiB")
    assert after[memory] < 500 * 2**20
    print(f"{RUNS} runs told in {told:.1f} s with {recorded[-1][2]:.0f} writes")
    assert all(
        int(item["status"]["observedGeneration"]) == 1 for item in world.plane.get(world.runs)["items"]
    )


async def record(operator: OperatorProcess, recorded: list[tuple[float, float, float]]) -> None:
    """(before it was asked, after it was answered, writes so far)."""
    while True:
        before = time.monotonic()
        count = writes(await asyncio.to_thread(operator.samples))
        recorded.append((before, time.monotonic(), count))
        await asyncio.sleep(0.25)


def writes(samples: dict[Any, float]) -> float:
    return sum(
        value
        for (name, labels), value in samples.items()
        if name == "jobrun_api_request_seconds_count" and dict(labels)["verb"] != "GET"
    )


def name_of(item: dict[str, Any]) -> str:
    return str(item["metadata"]["name"])
