"""Workers after the hold of a circuit breaker: a few tasks first, one at a time, and none of them for the last time."""

from __future__ import annotations

import time
from datetime import datetime

from jetstream.worker.rig import Run, until
from jobrun_worker import holding
from jobrun_worker.holding import CIRCUIT_BREAKER, HoldRecord
from jobrun_worker.trial import TASKS

HANDLER = """
import asyncio, pathlib, time
running = 0
async def handle(payload, task):
    global running
    running += 1
    with open("calls", "a") as calls:
        print(task.index, running, time.time(), file=calls)
    await asyncio.sleep(0.05)
    running -= 1
    if pathlib.Path("down").exists():
        raise ConnectionError("refused")
"""


async def hold(run: Run, seconds: float, open_seconds: float) -> None:
    """As the engine's breaker does it."""
    now = datetime.fromisoformat((await run.api(f"STREAM.INFO.{holding.stream(run.names)}"))["ts"])
    until_ns = int(now.timestamp() * 1e9) + int(seconds * 1e9)
    record = HoldRecord(until_ns, CIRCUIT_BREAKER, "20 attempts in a row failed", open_seconds)
    await run.nc.request(holding.subject(run.names, run.uid), record.encode(), timeout=10)


async def held(run: Run) -> HoldRecord:
    answer = await run.nc.request(
        f"$JS.API.DIRECT.GET.{holding.stream(run.names)}.{holding.subject(run.names, run.uid)}", timeout=10
    )
    return HoldRecord.decode(answer.data)


def calls(run: Run) -> list[tuple[int, int, float]]:
    """(index, how many ran then, when)."""
    path = run.directory / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(index), int(running), float(at)) for index, running, at in map(str.split, lines)]


async def test_one_at_a_time_until_one_has_succeeded(run: Run) -> None:
    run.configure(concurrency=8)
    run.handler(HANDLER)
    await run.release([{}] * 60)
    await hold(run, 1.0, 1.0)
    began = time.time()
    await run.worker()
    await run.finished()
    seen = calls(run)
    assert seen[0][1] == 1
    assert seen[1][2] >= seen[0][2] + 0.05, "the second one waits for what the first one comes to"
    assert seen[0][2] >= began + 0.5
    assert max(running for _, running, _ in seen) == 8
    assert await run.outcomes() == {}


async def test_a_trial_that_fails_holds_the_run_again_and_rests_its_tasks(run: Run) -> None:
    run.configure(concurrency=8, max_attempts=2, retry_initial_delay_seconds=0.01)
    run.handler(HANDLER)
    (run.directory / "down").touch()
    await run.release([{}] * 60)
    await hold(run, 0.5, 0.6)
    first = await held(run)
    worker = await run.worker()

    async def raised() -> bool:
        return (await held(run)).until_ns > first.until_ns

    await until("another hold", raised)
    record = await held(run)
    assert (record.why, record.open_seconds) == (CIRCUIT_BREAKER, 0.6)
    assert "the trial after it failed: ConnectionError: refused" in record.message
    assert [running for _, running, _ in calls(run)] == [1] * TASKS
    await worker.output.line(r"attempt 1 failed, the next one in 6\.0 s")
    (run.directory / "down").unlink()
    await run.finished()
    assert await run.outcomes() == {}, "no task failed twice"
    indexes = [index for index, _, _ in calls(run)]
    assert len(indexes) == 60 + TASKS
    assert sorted(indexes[:TASKS]) == sorted(indexes[-TASKS:]), "those of the trial came last"


async def test_a_hold_of_long_ago_has_no_trial(run: Run) -> None:
    run.configure(concurrency=4, max_attempts=1)
    run.handler(HANDLER)
    (run.directory / "down").touch()
    await hold(run, -5.0, 1.0)
    first = await held(run)
    await run.release([{}] * 10)
    await run.worker()
    await run.finished()
    assert (await held(run)).until_ns == first.until_ns
    assert max(running for _, running, _ in calls(run)) > 1
    assert len(await run.outcomes()) == 10
