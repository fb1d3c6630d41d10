"""One process of a worker of several, as its supervisor has it: its end of the socket, its exit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Mapping, Sequence

from jobrun_worker.supervised import FD_VARIABLE
from jobrun_worker.vitals import Vitals

log = logging.getLogger(__name__)

_LINE_BYTES = 2**20
_LAST_SECONDS = 1.0
"""For what a process has told before its end to be read; a child of it may hold the socket open."""


class Member:
    """``start`` makes one, ``wait`` is its life."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, sock: socket.socket) -> None:
        self.name = name
        self.vitals: Vitals | None = None
        """What it told last."""
        self.heard = 0.0
        """When, on the loop's clock."""
        self._process = process
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self.started = self._loop.time()

    @classmethod
    async def start(cls, name: str, command: Sequence[str], environ: Mapping[str, str]) -> Member:
        """In a process group of its own: a Ctrl-C of the terminal reaches the supervisor only. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**environ, FD_VARIABLE: str(theirs.fileno())},
                    pass_fds=(theirs.fileno(),),
                    process_group=0,
                )
        except BaseException:
            ours.close()
            raise
        return cls(name, process, ours)

    async def wait(self) -> int:
        """Its exit code; minus the number of the signal that ended it. Never leaves without it."""
        try:
            reader, writer = await asyncio.open_connection(sock=self._socket, limit=_LINE_BYTES)
            listening = asyncio.create_task(self._listen(reader))
            try:
                code = await self._process.wait()
                await asyncio.wait({listening}, timeout=_LAST_SECONDS)
            finally:
                listening.cancel()
                writer.close()
        finally:
            self.send(signal.SIGKILL)
            await self._process.wait()
        return code

    def send(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self.vitals = Vitals.decode(line)
                self.heard = self._loop.time()
        except (OSError, ValueError) as error:
            log.error("%s is not understood any more: %s", self.name, error)
