"""One worker process of the local mode: its environment, its readiness and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from jobrun_operator.local.child import Child, cut_log, tail
from jobrun_worker.settings import ENV_PREFIX, WorkerSettings

NICE = 5
"""Workers yield to the engine, so that it keeps its pace where handlers take all processors."""
CANT_RUN = 126
"""The exit code for a process that could not be started, as a shell's."""
_LOOPBACK = "127.0.0.1"
_PROBE_SECONDS = 1.0
_FIRST_PROBE_SECONDS = 0.05
_SETTINGS = frozenset(ENV_PREFIX + one.name.upper() for one in fields(WorkerSettings))


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """A worker that ended without being asked to."""

    worker: str
    code: int
    """Minus the signal's number where one ended it."""
    log: Path
    output: str
    """The last lines it wrote."""


class WorkerProcess:
    """``run()`` is its whole life; ``drain()`` shortens it."""

    def __init__(self, name: str, settings: WorkerSettings, logs: Path) -> None:
        self.name = name
        self.settings = settings
        self.log = logs / f"{name}.log"
        self.ready = False
        self.pid: int | None = None
        self._child: Child | None = None
        self._within: float | None = None

    @property
    def draining(self) -> bool:
        return self._within is not None

    def drain(self, within: float) -> None:
        """SIGTERM, and SIGKILL after ``within`` seconds; again only to bring that forward."""
        self._within = within
        if self._child is not None:
            self._child.end(within)

    def last_lines(self) -> str:
        return tail(self.log)

    async def run(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, on_ready: Callable[[], None]
    ) -> int:
        """Starts it and waits for its end: the exit code. ``on_ready`` is called when ``ready`` changed."""
        port = _free_port()
        own = replace(self.settings, worker=self.name, host=_LOOPBACK, port=port)
        # Settings that this process happens to have (a shell's, an outer worker's) are none of this worker's.
        environ = {name: value for name, value in os.environ.items() if name not in _SETTINGS}
        environ = {"PYTHONUNBUFFERED": "1"} | environ | dict(env) | own.to_env()
        try:
            child = await Child.start(command, log=self.log, env=environ, cwd=cwd, nice=NICE)
        except OSError as error:
            self.log.write_text(f"the worker can't be started: {error}\n")
            return CANT_RUN
        self._child, self.pid = child, child.pid
        if self._within is not None:
            child.end(self._within)
        probe = asyncio.create_task(self._probe(port, on_ready))
        try:
            return await child.wait()
        finally:
            self.ready = False
            child.end(0)  # where this was cancelled: never leave without it
            await child.wait()
            probe.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await probe

    async def _probe(self, port: int, on_ready: Callable[[], None]) -> None:
        pause = _FIRST_PROBE_SECONDS
        while True:
            ready = await _answers_ready(port)
            if ready != self.ready:
                self.ready = ready
                on_ready()
            pause = _PROBE_SECONDS if ready else min(_PROBE_SECONDS, pause * 1.1)
            cut_log(self.log)
            await asyncio.sleep(pause)


async def _answers_ready(port: int) -> bool:
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(_LOOPBACK, port)
            try:
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return (await reader.readline()).split(b" ")[1:2] == [b"200"]
            finally:
                writer.close()
                await writer.wait_closed()
    except OSError:  # not listening yet, not any more, or out of time: not ready is the answer
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
