"""What a worker does with tasks, against the real broker."""

from __future__ import annotations

import json
import signal

from jetstream.worker.rig import Run


async def test_every_task_runs_and_the_queue_is_empty(run: Run) -> None:
    run.handler("""
import pathlib
async def handle(payload, task):
    with open("seen", "a") as seen:
        print(task.index, payload["n"], task.attempt, task.run, task.namespace, task.idempotency_key, file=seen)
""")
    await run.release([{"n": n} for n in range(100)])
    await run.worker()
    await run.finished()
    seen = sorted((run.directory / "seen").read_text().splitlines(), key=lambda line: int(line.split()[0]))
    assert seen == [f"{n} {n} 1 test default {run.uid}-{n}" for n in range(100)]
    assert await run.outcomes() == {}


async def test_results_are_stored_before_the_ack(run: Run) -> None:
    run.configure(retain_results=True)
    run.handler("def handle(payload):\n    return {'double': payload['n'] * 2}\n")
    await run.release([{"n": n} for n in range(50)])
    await run.worker("one")
    await run.finished()
    outcomes = await run.outcomes()
    assert sorted(outcomes) == list(range(50))
    for index, outcome in outcomes.items():
        assert outcome.succeeded
        assert json.loads(outcome.body) == {"double": index * 2}
        assert outcome.attempts == 1
        assert outcome.worker == "one"
        assert outcome.released_at <= outcome.started_at <= outcome.finished_at


async def test_a_task_that_fails_is_tried_again_and_then_buried(run: Run) -> None:
    run.configure(max_attempts=3)
    run.handler("""
async def handle(payload, task):
    if payload["fails"] >= task.attempt:
        raise ValueError(f"attempt {task.attempt} is bad")
""")
    await run.release([{"fails": fails} for fails in (0, 1, 2, 3)])
    await run.worker()
    await run.finished()
    outcomes = await run.outcomes()
    assert list(outcomes) == [3]
    assert outcomes[3].reason == "MaxAttempts"
    assert outcomes[3].error == "ValueError: attempt 3 is bad (at tasks.py:4)"
    assert outcomes[3].attempts == 3
    assert json.loads(outcomes[3].body) == {"fails": 3}
    assert (await run.record(2)).failures == 2


async def test_sigterm_finishes_what_runs_and_hands_back_the_rest(run: Run) -> None:
    run.configure(concurrency=16)
    run.handler("""
import asyncio, pathlib
async def handle(payload, task):
    with open("began", "a") as began:
        print(task.index, file=began)
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.02)
    with open("done", "a") as done:
        print(task.index, file=done)
""")
    await run.release([{}] * 100)
    worker = await run.worker()

    def lines(name: str) -> list[int]:
        path = run.directory / name
        return sorted(map(int, path.read_text().split())) if path.exists() else []

    from jetstream.worker.rig import until

    async def all_busy() -> bool:
        return len(lines("began")) == 16

    await until("16 begun", all_busy)
    worker.send(signal.SIGTERM)
    await worker.output.line("draining")
    (run.directory / "go").touch()
    assert await worker.wait() == 0
    assert lines("began") == lines("done") == list(range(16))
    assert await run.outstanding() == 84
