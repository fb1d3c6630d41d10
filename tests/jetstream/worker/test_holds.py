"""``Throttled`` in one worker holds all workers of the run, in the broker's time, and frees them together."""

from __future__ import annotations

import json
import time
from datetime import datetime

from jetstream.worker.rig import Run
from jobrun_worker import holding
from jobrun_worker.holding import HoldRecord

HANDLER = """
import asyncio, os, time
from jobrun_worker import Throttled
async def handle(payload, task):
    with open(f"began-{os.getpid()}", "a") as began:
        print(task.index, task.attempt, time.time(), file=began)
    if task.index == 20 and not os.path.exists("throttled"):
        open("throttled", "w").close()
        raise Throttled(3, "429 from the partner")
    await asyncio.sleep(0.02)
"""


def starts(run: Run) -> dict[str, list[tuple[int, int, float]]]:
    """(index, attempt, when) by process."""
    found = {}
    for path in run.directory.glob("began-*"):
        lines = [line.split() for line in path.read_text().splitlines()]
        found[path.name] = [(int(index), int(attempt), float(at)) for index, attempt, at in lines]
    return found


async def test_one_worker_throttled_holds_the_other_too(run: Run) -> None:
    run.configure(max_attempts=1, concurrency=2)
    run.handler(HANDLER)
    await run.worker()
    await run.worker()
    await run.release([{}] * 300)
    await run.finished()
    assert await run.outcomes() == {}, "no attempt is used up"
    by_worker = starts(run)
    assert len(by_worker) == 2
    everything = sorted(entry for entries in by_worker.values() for entry in entries)
    assert {index for index, _, _ in everything} == set(range(300))
    assert all(attempt == 1 for _, attempt, _ in everything)
    raised = next(at for index, _, at in everything if index == 20)
    held = [at for _, _, at in everything if raised + 1.0 < at < raised + 2.9]
    assert held == [], "nothing is begun from a second after the hold was raised"
    assert any(at >= raised + 2.9 for _, _, at in everything)


async def test_a_worker_that_starts_in_a_hold_begins_when_it_is_over(run: Run) -> None:
    run.handler(HANDLER)
    await run.release([{}] * 5)
    now = datetime.fromisoformat((await run.api(f"STREAM.INFO.{holding.stream(run.names)}"))["ts"])
    record = HoldRecord(int(now.timestamp() * 1e9) + 2_500_000_000, holding.THROTTLED, "raised by another")
    await run.nc.request(holding.subject(run.names, run.uid), record.encode(), timeout=10)
    began = time.time()
    worker = await run.worker()
    await worker.output.line("takes no tasks for")
    await run.finished()
    assert min(at for entries in starts(run).values() for _, _, at in entries) >= began + 2.0


async def test_a_hold_that_can_not_be_read_holds_nobody(run: Run) -> None:
    run.handler(HANDLER)
    await run.nc.request(
        holding.subject(run.names, run.uid), json.dumps({"holdUntil": "?"}).encode(), timeout=10
    )
    worker = await run.worker()
    await worker.output.line("taken for none")
    await run.release([{}] * 5)
    await run.finished()


async def test_without_the_bucket_a_worker_holds_itself(run: Run) -> None:
    await run.api(f"STREAM.DELETE.{holding.stream(run.names)}")
    run.configure(max_attempts=1, concurrency=2)
    run.handler(HANDLER)
    worker = await run.worker()
    await run.release([{}] * 100)
    await worker.output.line("takes no tasks for 3.0 s: 429 from the partner")
    await run.finished()
    ((_, entries),) = starts(run).items()
    raised = next(at for index, _, at in entries if index == 20)
    assert [at for _, _, at in entries if raised + 0.5 < at < raised + 2.9] == []
