"""Each kind of handler completes a run and gives results: Python sync and async, a command, an endpoint."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from accept.bound import Bound, same
from accept.complete import completed, worker
from support.local_run import LocalRun

_COMMAND = (
    "import json, os, sys; print(json.dumps([json.load(sys.stdin)['index'], os.environ['JOBRUN_INDEX']]))"
)


def python_handlers(folder: Path, *, count: int) -> Iterator[Bound]:
    for name in ("noop", "async_noop"):
        with LocalRun(folder / name, {"tasks": {"count": count}, "worker": worker(name)}) as run:
            yield from _complete(run, count, list(range(count)))


def several_processes(folder: Path, *, count: int) -> Iterator[Bound]:
    spec = {
        "tasks": {"count": count},
        "worker": worker("slow", concurrency=1, processes=2),
        "scaling": {"maxReplicas": 1},
    }
    with LocalRun(folder, spec, env={"HANDLER_SECONDS": "0.02"}) as run:
        yield from completed(run, run.run(), count)
        names = sorted({line["worker"] for line in run.results()})
        yield same("workers in the results", names, ["run-1-1", "run-1-2"])


def command_handler(folder: Path, *, count: int) -> Iterator[Bound]:
    handler = {"exec": {"command": [sys.executable, "-I", "-S", "-c", _COMMAND]}, "concurrency": 4}
    with LocalRun(folder, {"tasks": {"count": count}, "worker": handler}) as run:
        yield from _complete(run, count, [[index, str(index)] for index in range(count)])


def http_handler(folder: Path, *, count: int) -> Iterator[Bound]:
    with (
        _endpoint() as url,
        LocalRun(folder, {"tasks": {"count": count}, "worker": {"http": {"url": url}}}) as run,
    ):
        yield from _complete(run, count, [{"of": index, "header": str(index)} for index in range(count)])


def _complete(run: LocalRun, count: int, outputs: list[Any]) -> Iterator[Bound]:
    yield from completed(run, run.run(), count)
    found = [line["output"] for line in run.results()]
    wrong = [pair for pair in zip(found, outputs, strict=False) if pair[0] != pair[1]]
    yield same("wrong results", wrong[:3], [])


@contextmanager
def _endpoint() -> Iterator[str]:
    """A server on a thread of its own that answers with what it was sent."""

    async def answer(request: web.Request) -> web.Response:
        payload = await request.json()
        return web.json_response({"of": payload["index"], "header": request.headers["Jobrun-Index"]})

    loop = asyncio.new_event_loop()

    async def start() -> tuple[web.AppRunner, int]:
        application = web.Application()
        application.router.add_post("/task", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        yield f"http://127.0.0.1:{port}/task"
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
