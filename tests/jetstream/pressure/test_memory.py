"""A handler that uses up the memory of its worker: its neighbours lose nothing by it, and it becomes a dead letter."""

from __future__ import annotations

import asyncio

from jetstream.worker.rig import Run
from jobrun_worker.wire import Outcome

HANDLER = """
import asyncio, resource
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), used + (256 << 20)))
kept = []
async def handle(payload, task):
    with open("began", "a") as file:
        print(task.index, task.attempt, file=file)
    if payload == "leak":
        await asyncio.sleep(0.05)
        while True:
            kept.append(bytearray(16 << 20))
    await asyncio.sleep(0.1)
"""


async def worked(run: Run) -> dict[int, Outcome]:
    """To the end, with a worker after each that has ended: what a Deployment does."""
    finished = asyncio.create_task(run.finished())
    while not finished.done():
        worker = await run.worker()
        ending = asyncio.create_task(worker.wait())
        await asyncio.wait({finished, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
    return await run.outcomes()


async def test_a_leak_is_charged_to_the_task_that_leaks(run: Run) -> None:
    run.configure(max_attempts=2, concurrency=4)
    run.handler(HANDLER)
    await run.release(["leak" if index == 2 else "fine" for index in range(12)])
    outcomes = await worked(run)
    assert list(outcomes) == [2]
    assert outcomes[2].reason == "MaxAttempts"
    assert outcomes[2].error.startswith("MemoryError (at tasks.py:")
    first = run.workers[0].output
    await first.line("out of memory, so this process ends; its tasks are delivered again: MemoryError")
    assert run.workers[0].process.returncode == 1
    for neighbour in (0, 1, 3):
        assert (await run.record(neighbour)).failures == 0
    began = [line.split() for line in (run.directory / "began").read_text().splitlines()]
    assert {int(index) for index, _ in began} == set(range(12))
    assert len([index for index, _ in began if index == "2"]) == 3  # beside others, and twice alone
