"""A redis-server with its default settings, for the contenders that use one: a fresh one for each trial."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.program import Failed, running

_BEGIN_SECONDS = 10.0


def missing() -> str:
    """Why there can be none; empty: there can."""
    return "" if shutil.which("redis-server") else "apt-get install redis-server"


def version() -> str:
    found = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=False)
    return next((word[2:] for word in found.stdout.split() if word.startswith("v=")), "unknown")


@asynccontextmanager
async def redis_server() -> AsyncIterator[str]:
    """Its URL. It keeps snapshots by its defaults, in a folder that goes with it."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="jobrun-redis-") as folder:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", folder]
        async with running(command, log=Path(folder) / "log") as server:
            async with asyncio.timeout(_BEGIN_SECONDS):
                while not await _answers(port):
                    server.check()
                    await asyncio.sleep(0.02)
            yield f"redis://127.0.0.1:{port}/0"


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(b"PING\r\n")
    answer = await reader.readline()
    writer.close()
    if not answer.startswith((b"+PONG", b"-LOADING")):
        raise Failed(f"redis-server answers {answer!r}")
    return answer.startswith(b"+PONG")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
