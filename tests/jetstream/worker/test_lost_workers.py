"""Workers that are killed in mid-task: nothing is lost, and a task that kills its workers takes no neighbour along."""

from __future__ import annotations

import signal

from jetstream.worker.rig import Process, Run, until

KILLER = """
import asyncio, os, signal
async def handle(payload, task):
    with open("began", "a") as began:
        print(task.index, task.attempt, os.getpid(), file=began)
    if payload["kills"]:
        while sum(1 for _ in open("began")) < payload["after"]:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    if task.attempt == 1 and payload["slow"]:
        await asyncio.sleep(3600)
"""


def began(run: Run) -> list[tuple[int, int, int]]:
    path = run.directory / "began"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(index), int(attempt), int(pid)) for index, attempt, pid in map(str.split, lines)]


async def test_a_task_whose_worker_was_killed_runs_again_alone(run: Run) -> None:
    run.configure(concurrency=4)
    run.handler("""
import asyncio, os, time
running = 0
async def handle(payload, task):
    global running
    running += 1
    with open("began", "a") as began:
        print(task.index, task.attempt, os.getpid(), file=began)
    if task.attempt > 1 and running > 1:
        open("not-alone", "w").close()
    if task.attempt == 1 and task.index < 4 and not os.path.exists("killed"):
        await asyncio.sleep(3600)
    await asyncio.sleep(0.005)
    if task.attempt > 1 and running > 1:
        open("not-alone", "w").close()
    running -= 1
""")
    await run.release([{}] * 100)
    worker = await run.worker()

    async def four_begun() -> bool:
        return len(began(run)) == 4

    await until("four begun", four_begun)
    (run.directory / "killed").touch()
    await worker.kill()
    await run.worker()
    await run.finished()
    attempts = {index: attempt for index, attempt, _ in began(run)}
    assert attempts == {index: 2 if index < 4 else 1 for index in range(100)}
    assert not (run.directory / "not-alone").exists()
    assert await run.outcomes() == {}


async def test_a_task_that_kills_every_worker_is_buried_and_its_neighbours_succeed(run: Run) -> None:
    run.configure(concurrency=16, max_attempts=3, retain_results=True)
    run.handler(KILLER)
    await run.release([{"kills": index == 0, "slow": True, "after": 16} for index in range(16)])
    deaths = 0

    async def supervise() -> None:
        nonlocal deaths
        worker = await run.worker()
        while await run.outstanding():
            if not worker.running:
                assert await worker.wait() == -signal.SIGKILL
                deaths += 1
                worker = await run.worker()

    await supervise()
    outcomes = await run.outcomes()
    assert len(outcomes) == 16
    assert outcomes[0].reason == "WorkerLost"
    assert outcomes[0].attempts == 3
    assert not outcomes[0].succeeded
    assert all(outcomes[index].succeeded for index in range(1, 16))
    assert all(outcomes[index].attempts == 2 for index in range(1, 16))
    assert deaths == 3


async def test_a_lost_task_that_waits_is_not_charged_when_another_one_kills_its_worker(run: Run) -> None:
    """With two attempts a second loss would be its end."""
    run.configure(concurrency=2, max_attempts=2, retain_results=True, ack_wait_seconds=30)
    await run.api(f"CONSUMER.DELETE.{run.stream}.workers")
    await run.make_consumer()
    run.handler("""
import asyncio, os, signal
async def handle(payload, task):
    with open("began", "a") as began:
        print(task.index, task.attempt, os.getpid(), file=began)
    while task.index == 0 and task.attempt == 1:
        await asyncio.sleep(0.02)
    while task.index == 1 and task.attempt == 1:
        await asyncio.sleep(0.02)
        if os.path.exists("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
""")
    await run.release([{}])
    worker = await run.worker()

    async def first_begun() -> bool:
        return len(began(run)) == 1

    async def second_begun() -> bool:
        return len(began(run)) == 2

    async def deliver_again(sequence: int) -> None:
        await run.nc.publish(f"$JS.ACK.{run.stream}.workers.1.{sequence}.{sequence}.0.0", b"-NAK")

    await until("the first begun", first_begun)
    await worker.kill()
    worker = await run.worker()
    await run.release([{}])
    await until("the second begun", second_begun)
    await deliver_again(1)

    async def excused() -> bool:
        return (await run.record(0)).returns == 1

    await until("the first waits for the second", excused)
    (run.directory / "kill").touch()
    await worker.wait()
    await deliver_again(1)
    await deliver_again(2)
    await run.worker()
    await run.finished()
    outcomes = await run.outcomes()
    assert [(outcomes[index].succeeded, outcomes[index].attempts) for index in (0, 1)] == [
        (True, 2),
        (True, 2),
    ]


async def test_two_killers_among_many_tasks_and_workers_are_all_that_is_buried(run: Run) -> None:
    run.configure(concurrency=8, max_attempts=2, retain_results=True, ack_wait_seconds=2)
    await run.api(f"CONSUMER.DELETE.{run.stream}.workers")
    await run.make_consumer()
    run.handler("""
import asyncio, os, signal
async def handle(payload):
    await asyncio.sleep(0.01)
    if payload["kills"]:
        os.kill(os.getpid(), signal.SIGKILL)
""")
    killers = {3, 40}
    await run.release([{"kills": index in killers} for index in range(100)])
    workers = [await run.worker() for _ in range(2)]
    while await run.outstanding():
        for place, worker in enumerate(workers):
            if not worker.running:
                workers[place] = await run.worker()
    outcomes = await run.outcomes()
    assert len(outcomes) == 100
    dead = {index: outcome.reason for index, outcome in outcomes.items() if not outcome.succeeded}
    assert dead == dict.fromkeys(killers, "WorkerLost")


async def test_ten_drains_use_up_no_attempt(run: Run) -> None:
    """With two attempts a run, a drain that were charged twice would bury a task."""
    run.configure(concurrency=16, max_attempts=2)
    run.handler("""
import asyncio
async def handle(payload):
    await asyncio.sleep(0.02)
""")
    await run.release([{}] * 3000)
    workers: list[Process] = []
    for _ in range(10):
        worker = await run.worker()
        before = (await run.consumer())["delivered"]["consumer_seq"]

        async def busy(before: int = before) -> bool:
            return bool((await run.consumer())["delivered"]["consumer_seq"] > before + 32)

        await until("tasks flow", busy)
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 0
        workers.append(worker)
    await run.worker()
    await run.finished()
    assert await run.outcomes() == {}
    assert not any("alone" in worker.output.text for worker in run.workers), (
        "no delivery went missing in a drain"
    )
