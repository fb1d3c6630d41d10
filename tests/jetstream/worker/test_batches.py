"""Batch handlers: called with what is there, and each task of a batch ended on its own."""

from __future__ import annotations

import json
from signal import SIGKILL, SIGTERM
from typing import Any

from jetstream.worker.rig import Run, until
from jobrun_worker.wire import Pulse

CALLS = """
import asyncio, json, os, pathlib
from jobrun_worker import Fail, Retry, Throttled
def note(payloads, tasks):
    with open("calls", "a") as calls:
        calls.write(json.dumps([[task.index, task.attempt] for task in tasks]) + "\\n")
"""


def calls(run: Run) -> list[list[list[int]]]:
    """(index, attempt) of each task of each call."""
    path = run.directory / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def batched(run: Run, body: str, **settings: Any) -> None:
    run.configure(batch_size=10, concurrency=2, retry_initial_delay_seconds=0.05)
    run.configure(**settings)
    run.handler(CALLS + body)


async def test_each_task_ends_as_its_entry_says(run: Run) -> None:
    await batched(
        run,
        "async def handle(payloads, tasks):\n"
        "    note(payloads, tasks)\n"
        "    def entry(payload, task):\n"
        "        if payload == 3: return Fail('no three')\n"
        "        if payload == 4 and task.attempt == 1: return Retry(0.05, 'later')\n"
        "        if payload == 5: return ValueError('five')\n"
        "        if payload == 6: return object()\n"
        "        if payload == 7: return asyncio.CancelledError()\n"
        "        return payload * 2\n"
        "    return [entry(*one) for one in zip(payloads, tasks)]\n",
        retain_results=True,
        max_attempts=2,
    )
    await run.release(list(range(40)))
    await run.worker()
    await run.finished()
    outcomes = await run.outcomes()
    assert len(outcomes) == 40
    dead = {index: one for index, one in outcomes.items() if not one.succeeded}
    assert {index: (one.reason, one.attempts) for index, one in dead.items()} == {
        3: ("HandlerFailed", 1),
        5: ("MaxAttempts", 2),
        6: ("HandlerFailed", 1),
        7: ("MaxAttempts", 2),
    }
    assert dead[5].body == b"5"
    assert "five" in dead[5].error
    assert all(json.loads(one.body) == 2 * index for index, one in outcomes.items() if one.succeeded)
    assert outcomes[4].attempts == 2
    assert max(len(call) for call in calls(run)) == 10
    assert sum(len(call) for call in calls(run)) == 43


async def test_tasks_that_leave_nothing_to_store_are_counted_all_the_same(run: Run) -> None:
    await batched(run, "async def handle(payloads):\n    return payloads\n")
    pulses = await run.nc.subscribe(run.names.pulse(run.uid))
    await run.release(list(range(40)))
    worker = await run.worker()
    await run.finished()
    worker.send(SIGTERM)
    assert await worker.wait() == 0
    assert await run.outcomes() == {}
    told = 0
    while told < 40:
        told += Pulse.decode((await pulses.next_msg(timeout=10)).data).succeeded
    assert told == 40
    assert (await run.consumer())["num_redelivered"] == 0


async def test_a_result_of_nothing_is_kept_as_well(run: Run) -> None:
    await batched(
        run, "async def handle(payloads):\n    return [None] * len(payloads)\n", retain_results=True
    )
    await run.release(list(range(20)))
    await run.worker()
    await run.finished()
    assert {index: one.body for index, one in (await run.outcomes()).items()} == dict.fromkeys(
        range(20), b"null"
    )


async def test_what_is_no_list_of_entries_fails_each_attempt(run: Run) -> None:
    await batched(
        run,
        "def handle(payloads):\n    return [1] if len(payloads) > 1 else 5\n",
        max_attempts=2,
    )
    await run.release([1, 2, 3])
    await run.worker()
    await run.finished()
    outcomes = await run.outcomes()
    assert {one.attempts for one in outcomes.values()} == {2}
    assert {one.error for one in outcomes.values()} == {
        "a batch handler returns a list, an entry for each task; this is of type int"
    }


async def test_a_last_attempt_is_alone_so_that_no_neighbour_ends_it(run: Run) -> None:
    """One bad task fails each call that it is in: the others succeed all the same, and it alone is a dead letter."""
    await batched(
        run,
        "def handle(payloads, tasks):\n"
        "    note(payloads, tasks)\n"
        "    if 13 in payloads: raise RuntimeError('poisoned')\n"
        "    return payloads\n",
        max_attempts=3,
    )
    await run.release(list(range(30)))
    await run.worker()
    await run.finished()
    outcomes = await run.outcomes()
    assert list(outcomes) == [13]
    assert outcomes[13].attempts == 3
    assert [[13, 3]] in calls(run)
    last = [call for call in calls(run) for _, attempt in call if attempt == 3]
    assert all(len(call) == 1 for call in last)


async def test_a_payload_that_is_not_json_is_no_neighbours_fault(run: Run) -> None:
    await batched(run, "def handle(payloads):\n    return payloads\n", retain_results=True)
    subject = run.names.work_subject(run.uid)
    await run.nc.publish(subject, b"{")
    await run.release([1, 2])
    await run.worker()
    await run.finished()
    outcomes = await run.outcomes()
    assert [outcomes[index].succeeded for index in range(3)] == [False, True, True]
    assert outcomes[0].reason == "HandlerFailed"


async def test_a_killed_worker_charges_its_batch_and_each_then_runs_alone(run: Run) -> None:
    await batched(
        run,
        "import time\n"
        "def handle(payloads, tasks):\n"
        "    note(payloads, tasks)\n"
        "    if not pathlib.Path('begun').exists():\n"
        "        pathlib.Path('begun').touch()\n"
        "        time.sleep(60)\n"
        "    return payloads\n",
        concurrency=1,
    )
    await run.release(list(range(5)))
    first = await run.worker()

    async def begun() -> bool:
        return (run.directory / "begun").exists()

    await until("a batch has begun", begun)
    first.send(SIGKILL)
    await run.worker()
    await run.finished()
    assert await run.outcomes() == {}
    first_call, *others = calls(run)
    lost = {index for index, _ in first_call}
    assert all(len(call) == 1 for call in others if call[0][0] in lost)


async def test_a_drain_finishes_what_has_begun_and_hands_back_the_rest(run: Run) -> None:
    await batched(
        run,
        "async def handle(payloads, tasks):\n"
        "    note(payloads, tasks)\n"
        "    pathlib.Path('begun').touch()\n"
        "    while not pathlib.Path('go').exists():\n"
        "        await asyncio.sleep(0.01)\n"
        "    return payloads\n",
        max_attempts=1,
        concurrency=1,
        retain_results=True,
    )
    await run.release(list(range(25)))
    worker = await run.worker()

    async def begun() -> bool:
        return (run.directory / "begun").exists()

    await until("a batch has begun", begun)
    worker.send(SIGTERM)
    await worker.output.line("draining")
    (run.directory / "go").touch()
    assert await worker.wait() == 0
    (call,) = calls(run)
    assert set(await run.outcomes()) == {index for index, _ in call}
    await run.worker()
    await run.finished()
    assert {one.succeeded for one in (await run.outcomes()).values()} == {True}


async def test_a_time_limit_is_that_of_the_call(run: Run) -> None:
    await batched(
        run,
        "async def handle(payloads, tasks):\n    note(payloads, tasks)\n    await asyncio.sleep(60)\n",
        task_timeout_seconds=0.5,
        max_attempts=1,
    )
    await run.release([1, 2, 3])
    await run.worker()
    await run.finished()
    outcomes = await run.outcomes()
    assert {one.error for one in outcomes.values()} == {"timed out after 0.5 s"}
    assert len(calls(run)) == 1


async def test_throttled_holds_the_run_and_uses_up_no_attempt(run: Run) -> None:
    await batched(
        run,
        "def handle(payloads, tasks):\n"
        "    if not pathlib.Path('asked').exists():\n"
        "        pathlib.Path('asked').touch()\n"
        "        return [Throttled(1, '429') if payload == 0 else payload for payload in payloads]\n"
        "    return payloads\n",
        max_attempts=1,
    )
    await run.release(list(range(20)))
    worker = await run.worker()
    await worker.output.line("takes no tasks for")
    await run.finished()
    assert await run.outcomes() == {}
