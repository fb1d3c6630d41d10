"""The broker goes away and comes back, its consumer is made again: workers go on by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from jetstream.worker.rig import Run, connect, until
from support.nats_server import NatsServer

COUNTING = """
import asyncio
async def handle(payload, task):
    await asyncio.sleep(0.05)
    with open("done", "a") as done:
        print(task.index, file=done)
    return task.index
"""


def done(run: Run) -> list[int]:
    path = run.directory / "done"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("retain", [False, True])
async def test_a_broker_that_restarts_in_mid_run(
    nats_server: NatsServer, run: Run, kill: bool, retain: bool
) -> None:
    run.configure(retain_results=retain, concurrency=8)
    run.handler(COUNTING)
    await run.release([{}] * 400)
    worker = await run.worker()

    async def some() -> bool:
        return len(done(run)) >= 50

    await until("some done", some)
    await (nats_server.kill() if kill else nats_server.stop())
    await worker.output.line("disconnected")
    await nats_server.start()
    await worker.output.line("connected again")
    await run.finished()
    assert set(done(run)) == set(range(400))
    outcomes = await run.outcomes()
    assert all(outcome.succeeded for outcome in outcomes.values())
    assert len(outcomes) == (400 if retain else 0)
    assert worker.running


WAITING = """
import asyncio, os
async def handle(payload, task):
    with open("began", "a") as began:
        print(task.index, task.attempt, file=began)
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)
    if task.attempt == 1:
        raise ValueError("once")
"""


def began(run: Run) -> list[str]:
    path = run.directory / "began"
    return sorted(path.read_text().splitlines()) if path.exists() else []


async def both_begun(run: Run) -> None:
    async def both() -> bool:
        return len(began(run)) == 2

    await until("both begun", both)


async def test_a_task_that_is_delivered_again_to_the_worker_that_runs_it_is_not_started_twice(
    run: Run,
) -> None:
    """A nak in the worker's name makes the broker deliver a second copy; that is the one to answer to."""
    run.configure(concurrency=4, max_attempts=2)
    run.handler(WAITING)
    await run.release([{}] * 2)
    worker = await run.worker()
    await both_begun(run)
    for sequence in (1, 2):
        await run.nc.publish(f"$JS.ACK.{run.stream}.workers.1.{sequence}.{sequence}.0.0", b"-NAK")

    async def redelivered() -> bool:
        return bool((await run.consumer())["num_redelivered"] == 2)

    await until("both delivered again", redelivered)
    (run.directory / "go").touch()
    await run.finished()
    assert began(run) == ["0 1", "0 2", "1 1", "1 2"]
    assert await run.outcomes() == {}
    assert "alone" not in worker.output.text
    record = await run.record(0)
    assert (record.failures, record.returns) == (1, 1)


async def test_tasks_that_run_while_the_broker_is_killed_end_once(nats_server: NatsServer, run: Run) -> None:
    run.configure(concurrency=4, max_attempts=2)
    run.handler(WAITING)
    await run.release([{}] * 2)
    worker = await run.worker()
    await both_begun(run)
    await nats_server.kill()
    await worker.output.line("disconnected")
    (run.directory / "go").touch()
    await worker.output.line("storing its attempts")
    await nats_server.start()
    await run.finished()
    assert began(run) == ["0 1", "0 2", "1 1", "1 2"]
    assert await run.outcomes() == {}
    assert (await run.record(0)).failures == 1


async def test_a_consumer_that_is_made_again(run: Run) -> None:
    run.handler(COUNTING)
    await run.release([{}] * 20)
    worker = await run.worker()
    await run.finished()
    await run.api(f"CONSUMER.DELETE.{run.stream}.workers")
    await worker.output.line("the broker answers 409 Consumer Deleted")
    await run.make_consumer()
    await run.release([{}] * 20)
    await run.finished()
    assert sorted(done(run)) == list(range(40))


async def test_a_worker_that_starts_before_its_broker(nats_server: NatsServer, run: Run) -> None:
    run.handler(COUNTING)
    await run.release([{}] * 20)
    await nats_server.stop()
    worker = await run.worker(ready=False)
    await worker.output.line("broker:")
    await nats_server.start()
    await worker.output.line("ready: ")
    await run.finished()
    assert sorted(done(run)) == list(range(20))


async def test_a_worker_without_a_broker_can_be_stopped(nats_server: NatsServer, run: Run) -> None:
    run.handler(COUNTING)
    await nats_server.stop()
    worker = await run.worker(ready=False)
    await worker.output.line("broker:")
    worker.send(signal.SIGTERM)
    assert await worker.wait() == 0
    await nats_server.start()


async def test_a_drain_without_a_broker_says_that_what_ended_may_be_done_again(
    nats_server: NatsServer, run: Run
) -> None:
    run.handler("""
import asyncio, os, sys
async def handle(payload, task):
    print("begun", file=sys.stderr)
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)
    print("ended", file=sys.stderr)
""")
    await run.release([{}])
    worker = await run.worker()
    await worker.output.line("begun")
    await nats_server.stop()
    await worker.output.line("disconnected")
    (run.directory / "go").touch()
    await worker.output.line("ended")
    worker.send(signal.SIGTERM)
    assert await worker.wait() == 0
    await worker.output.line("drained, but the last acks may be lost: there is no connection")
    await nats_server.start()
    await run.worker()
    await run.finished()


async def test_a_paused_consumer_delivers_after_it_is_resumed(run: Run) -> None:
    run.handler(COUNTING)
    await run.api(f"CONSUMER.PAUSE.{run.stream}.workers", {"pause_until": "2100-01-01T00:00:00Z"})
    worker = await run.worker()
    await run.release([{}] * 20)
    assert await run.outstanding() == 20
    await run.api(f"CONSUMER.PAUSE.{run.stream}.workers", {"pause_until": "2000-01-01T00:00:00Z"})
    await run.finished()
    assert sorted(done(run)) == list(range(20))
    assert worker.running


async def test_a_request_that_the_broker_dropped_without_a_word_is_asked_again(run: Run) -> None:
    """A consumer whose ``max_waiting`` is reached drops requests that have heartbeats."""
    await run.api(f"CONSUMER.DELETE.{run.stream}.workers")
    await run.make_consumer(max_waiting=1)
    run.handler(COUNTING)
    first = await run.worker()
    second = await run.worker()
    workers = [
        asyncio.create_task(worker.output.line("nothing, not even heartbeats")) for worker in (first, second)
    ]
    await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
    for task in workers:
        task.cancel()
    holder = first if workers[1].done() and not workers[1].cancelled() else second
    holder.send(signal.SIGTERM)
    assert await holder.wait() == 0
    await run.release([{}] * 20)
    await run.finished()
    assert sorted(done(run)) == list(range(20))


async def test_a_worker_whose_credentials_change_connects_anew(tmp_path: Path) -> None:
    """As far as the client library is concerned, the broker closes such a connection for good."""
    users = tmp_path / "users.conf"

    def allow(password: str) -> None:
        users.write_text(
            f"authorization {{ users = [{{user: w, password: {password}}}, {{user: t, password: t}}] }}"
        )

    allow("old")
    directory = tmp_path / "work"
    directory.mkdir()
    async with NatsServer(tmp_path, "include users.conf") as server:
        nc = await connect(server.url, user="t", password="t")  # noqa: S106
        run = Run(nc, server, directory)
        await run.provision()
        run.configure(nats_user="w", nats_password="old")  # noqa: S106
        run.handler(COUNTING)
        worker = await run.worker()
        allow("new")
        os.kill(server.pid, signal.SIGHUP)
        await worker.output.line("Authorization Violation")
        allow("old")
        os.kill(server.pid, signal.SIGHUP)
        await run.release([{}] * 20)
        await run.finished()
        assert sorted(done(run)) == list(range(20))
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 0
        await nc.close()
