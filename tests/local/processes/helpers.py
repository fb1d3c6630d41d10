"""A run for the stub worker, and waiting for a state with a bound."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jobrun_operator.api import JobRun
from jobrun_operator.engine.ports import Workers, WorkersState
from jobrun_worker.settings import WorkerSettings

STUB = (sys.executable, "-I", "-S", str(Path(__file__).with_name("stub_worker.py")))
BOUND_SECONDS = 30.0


def settings_for(run: JobRun) -> WorkerSettings:
    assert run.spec.worker.exec is not None
    return WorkerSettings(
        nats_url="nats://127.0.0.1:1",
        uid=run.uid,
        run=run.name,
        namespace=run.namespace,
        handler_exec=run.spec.worker.exec.command,
        concurrency=run.spec.worker.concurrency,
        grace_seconds=20,
    )


def make_run(behaviour: str = "serve", *, name: str = "push", concurrency: int = 16) -> JobRun:
    return JobRun.from_wire(
        {
            "apiVersion": "jobrun.dev/v1alpha1",
            "kind": "JobRun",
            "metadata": {"name": name, "uid": f"uid-of-{name}"},
            "spec": {
                "tasks": {"count": 10},
                "worker": {"exec": {"command": [behaviour]}, "concurrency": concurrency},
            },
        },
        local=True,
    )


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Returns when ``holds`` does; fails after BOUND_SECONDS."""
    async with asyncio.timeout(BOUND_SECONDS):
        while not await holds():  # noqa: ASYNC110  # states of processes have no event
            await asyncio.sleep(0.005)


async def reach(workers: Workers, uid: str, **wanted: int | str) -> WorkersState:
    """Waits until the state has the ``wanted`` values."""
    state = WorkersState()

    async def reached() -> bool:
        nonlocal state
        state = await workers.observe(uid)
        return all(getattr(state, name) == value for name, value in wanted.items())

    try:
        await until(reached)
    except TimeoutError:
        pytest.fail(f"never {wanted}, but {state}")
    return state
