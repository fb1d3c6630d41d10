"""The side of a process that is one of several of its worker: it tells how it does, and drains when nobody listens.

Both go over one socket, whose number is in the environment. The supervisor holds the other end and nothing else does:
where that is closed, the supervisor has ended, and nobody would tell this process to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, MutableMapping

from jobrun_worker.settings import ENV_PREFIX
from jobrun_worker.vitals import Vitals

FD_VARIABLE = f"{ENV_PREFIX}SUPERVISOR_FD"
TELL_SECONDS = 0.5
_LAST_SECONDS = 1.0
"""How long the last words may take where the supervisor does not read."""


def supervisor_socket(environ: MutableMapping[str, str]) -> socket.socket | None:
    """The socket that ``environ`` names; it is taken out of there, since no child of this process is to have it."""
    number = environ.pop(FD_VARIABLE, "")
    if not number:
        return None
    os.set_inheritable(int(number), False)
    return socket.socket(fileno=int(number))


def tell_failure(sock: socket.socket, failure: str) -> None:
    """The last words of a process that does not come to work at all."""
    with sock, contextlib.suppress(OSError):
        sock.sendall(Vitals(failure=failure).encode())


class Supervised:
    """``vitals`` says how this process does; ``orphaned`` is called when the supervisor has ended."""

    def __init__(
        self, sock: socket.socket, vitals: Callable[[], Vitals], orphaned: Callable[[], None]
    ) -> None:
        self._socket = sock
        self._vitals = vitals
        self._orphaned = orphaned
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._socket)
        self._tasks = (
            asyncio.create_task(self._listen(reader)),
            asyncio.create_task(self._go_on(self._writer)),
        )

    def tell(self) -> None:
        """At once: what is written is read also where this process is killed right after."""
        if self._writer is not None:
            self._writer.write(self._vitals().encode())

    async def stop(self) -> None:
        """Once the process is done: tells the rest."""
        for task in self._tasks:
            task.cancel()
        if self._writer is not None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    self.tell()
                    await self._writer.drain()
                    self._writer.close()
                    await self._writer.wait_closed()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        self._orphaned()

    async def _go_on(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.tell()
                await writer.drain()
                await asyncio.sleep(TELL_SECONDS)
