"""A handler over its time limit: the attempt fails, and what it started is gone."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
from aiohttp import web

from jetstream.worker.rig import Run, until

TREE = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
with open("pids", "a") as pids:
    print(os.getpid(), child.pid, file=pids)
time.sleep(3600)
"""


async def test_an_async_handler_is_cancelled(run: Run) -> None:
    run.configure(task_timeout_seconds=0.3, max_attempts=2)
    run.handler("""
import asyncio
async def handle(payload):
    try:
        await asyncio.sleep(3600)
    finally:
        open("cancelled", "a").write("x")
""")
    await run.release([{}])
    worker = await run.worker()
    await run.finished()
    assert (run.directory / "cancelled").read_text() == "xx"
    outcome = (await run.outcomes())[0]
    assert outcome.error == "timed out after 0.3 s"
    assert outcome.attempts == 2
    assert worker.running


async def test_a_handler_that_swallows_its_cancellation_fails_all_the_same(run: Run) -> None:
    run.configure(task_timeout_seconds=0.3, max_attempts=1)
    run.handler("""
import asyncio
async def handle(payload):
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        return "fine"
""")
    await run.release([{}])
    await run.worker()
    await run.finished()
    assert (await run.outcomes())[0].error == "timed out after 0.3 s"


async def test_a_handler_that_ignores_its_cancellation_replaces_the_worker(run: Run) -> None:
    run.configure(task_timeout_seconds=0.3, grace_seconds=0.5)
    run.handler("""
import asyncio
from jobrun_worker import attempts
attempts.INSISTS = 0.5
async def handle(payload, task):
    while task.index == 0 and task.attempt == 1:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
""")
    await run.release([{}] * 3)
    worker = await run.worker()
    assert await worker.wait() == 0
    assert "ignores its time limit, so this process is replaced" in worker.output.text
    await run.worker()
    await run.finished()
    assert await run.outcomes() == {}


async def test_a_thread_over_its_limit_fails_the_attempt_and_replaces_the_worker(run: Run) -> None:
    run.configure(task_timeout_seconds=0.5, concurrency=2)
    run.handler("""
import time
def handle(payload, task):
    open("began", "a").write("x")
    if task.index == 0 and task.attempt == 1:
        time.sleep(3600)
""")
    await run.release([{}] * 4)
    worker = await run.worker()
    assert await worker.wait() == 0
    assert "this process is replaced" in worker.output.text
    record = await run.record(0)
    assert (record.failures, record.error) == (1, "timed out after 0.5 s")
    await run.worker()
    await run.finished()
    assert await run.outcomes() == {}


async def test_a_command_is_killed_with_its_children(run: Run) -> None:
    run.configure(task_timeout_seconds=3, max_attempts=1, handler_exec=(sys.executable, "-c", TREE))
    await run.release([{}, {}])
    await run.worker()
    await run.finished()
    outcomes = await run.outcomes()
    assert [outcomes[index].error for index in (0, 1)] == ["timed out after 3 s"] * 2
    await gone(run.directory / "pids", 4)


async def test_a_worker_that_is_told_twice_to_stop_kills_its_commands(run: Run) -> None:
    run.configure(handler_exec=(sys.executable, "-c", TREE))
    await run.release([{}])
    worker = await run.worker()
    pids = run.directory / "pids"

    async def started() -> bool:
        return pids.exists() and len(pids.read_text().split()) == 2

    await until("the command started", started)
    worker.send(signal.SIGTERM)
    await worker.output.line("draining")
    worker.send(signal.SIGTERM)
    assert await worker.wait() == 128 + signal.SIGTERM
    await gone(pids, 2)


async def test_commands_are_killed_at_the_end_of_grace(run: Run) -> None:
    run.configure(handler_exec=(sys.executable, "-c", TREE), grace_seconds=0.5)
    await run.release([{}])
    worker = await run.worker()
    pids = run.directory / "pids"

    async def started() -> bool:
        return pids.exists() and len(pids.read_text().split()) == 2

    await until("the command started", started)
    worker.send(signal.SIGINT)
    assert await worker.wait() == 0
    assert "1 tasks did not finish within 0.5 s" in worker.output.text
    await gone(pids, 2)
    assert await run.outstanding() == 1
    assert (await run.record(0)).failures == 0


async def gone(pids: Path, count: int) -> None:
    """All of these processes have ended (or wait to be collected by whoever inherited them)."""
    numbers = _numbers(pids)
    assert len(numbers) == count

    async def ended() -> bool:
        return not any(_lives(number) for number in numbers)

    await until("the command and its children ended", ended)


def _numbers(pids: Path) -> list[int]:
    return [int(pid) for pid in pids.read_text().split()]


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def endpoint(answer: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(answer, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/task"
    finally:
        await runner.cleanup()


async def test_a_request_is_given_up(run: Run) -> None:
    calls = []

    async def answer(request: web.Request) -> web.Response:
        calls.append((dict(request.headers), json.loads(await request.read())))
        await asyncio.sleep(3600)
        return web.Response()

    app = web.Application()
    app.router.add_post("/task", answer)
    async with endpoint(app) as url:
        run.configure(handler_http=url, task_timeout_seconds=0.5, max_attempts=1)
        await run.release([{"a": 1}])
        await run.worker()
        await run.finished()
    outcome = (await run.outcomes())[0]
    assert outcome.error == "timed out after 0.5 s"
    headers, payload = calls[0]
    assert payload == {"a": 1}
    assert (headers["Jobrun-Index"], headers["Jobrun-Attempt"]) == ("0", "1")
    assert headers["Jobrun-Idempotency-Key"] == f"{run.uid}-0"
    assert headers["Content-Type"] == "application/json"
