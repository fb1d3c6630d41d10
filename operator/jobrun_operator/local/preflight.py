"""Asks a worker whether it can use the handler, before anything else is started.

In a process of its own, as a worker would: importing a user's module into the engine could do anything to it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from jobrun_operator.errors import EnvironmentFault, InputError
from jobrun_operator.local.keeper import Keeper
from jobrun_worker.ends import UNUSABLE
from jobrun_worker.settings import WorkerSettings

_SECONDS = 60.0
"""For importing the handler; some load a model."""


async def check_handler(settings: WorkerSettings, cwd: Path, keeper: Keeper, *, where: str) -> None:
    """Raises InputError with what the worker said where it can't use the handler, which is set at ``where``."""
    part = "preflight"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jobrun_worker", "--check"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env=os.environ | keeper.environment(part) | settings.to_env(),
    )
    try:
        async with asyncio.timeout(_SECONDS):
            said = (await process.communicate())[1].decode(errors="replace").strip()
    except TimeoutError:
        await keeper.clear(part)
        await process.wait()
        raise InputError(where, f"importing the handler took more than {_SECONDS:g} s") from None
    if process.returncode == UNUSABLE:
        raise InputError(where, said.removeprefix("jobrun worker: "))
    if process.returncode != 0:
        raise EnvironmentFault(f"a worker can't be started (exit code {process.returncode}): {said[-1000:]}")
