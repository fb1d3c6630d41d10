"""The network between clients and the broker, as a TCP proxy that can be hurt.

TCP never loses single bytes: what a bad network does to a connection is to hold data back, in one direction or both,
for ever or for a while, and to reset it, in the middle of what was being said. Those are the things that this proxy
does.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

_PIECE = 64 * 1024
_NO_LINGER = struct.pack("ii", 1, 0)


class Link:
    """Listens on ``port`` of the loop-back address, and passes everything on to the broker's port."""

    def __init__(self) -> None:
        self.port = 0
        self._target: Callable[[], int] = lambda: 0
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._out, self._in = asyncio.Event(), asyncio.Event()
        self._refuses = False
        self._delay = 0.0
        self._passing: float | None = None
        self.torn = asyncio.Event()
        """Something was passed on in part, since ``tear``."""

    async def start(self, target: Callable[[], int]) -> None:
        """``target``: the broker's port, asked for each connection."""
        self._target = target
        self.heal()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    # --- what goes wrong --------------------------------------------------------------------------------

    def hold(self, *, out: bool, into: bool) -> None:
        """Hold back what clients send (``out``) and what they are sent (``into``)."""
        if out:
            self._out.clear()
        if into:
            self._in.clear()

    def slow(self, seconds: float) -> None:
        """Each piece of data waits so long."""
        self._delay = seconds

    def tear(self, share: float) -> None:
        """Of the next piece that each client sends only this share is passed on, and nothing after it: as where the
        client dies in the middle of its write."""
        self.torn.clear()
        self._passing = share

    def cut(self) -> None:
        """Reset all connections, and all that come."""
        self._refuses = True
        self.reset()

    def reset(self) -> None:
        """Reset all connections; what was under way is lost."""
        for writer in list(self._writers):
            self._drop(writer)
        for pipe in list(self._pipes):
            pipe.cancel()

    def heal(self) -> None:
        self._refuses, self._delay, self._passing = False, 0.0, None
        self._out.set()
        self._in.set()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()
        while self._pipes:
            await asyncio.wait(self._pipes)

    # ----------------------------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            self._drop(writer)
            return
        self._writers.add(writer)
        try:
            # A connection is made to whoever listens, also where data is held back: the broker's host answers.
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._target())
        except OSError:
            self._drop(writer)
            return
        self._writers.add(broker_writer)
        both = (writer, broker_writer)
        for pipe in (
            self._pump(reader, broker_writer, self._out, both),
            self._pump(broker_reader, writer, self._in, both),
        ):
            task = asyncio.create_task(pipe)
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passes: asyncio.Event,
        both: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        try:
            while data := await reader.read(_PIECE):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await passes.wait()
                if passes is self._out and self._passing is not None:
                    writer.write(data[: int(len(data) * self._passing)])
                    self.torn.set()
                    await asyncio.Event().wait()  # until the connection is reset
                writer.write(data)
                await writer.drain()
            await passes.wait()  # its end doesn't get through either
            self._writers.discard(writer)
            writer.close()  # after what was written before
        except BaseException as error:
            for one in both:
                self._drop(one)
            if not isinstance(error, OSError):
                raise

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        if not writer.transport.is_closing():
            # Closed without lingering: the other side sees a reset, and no orderly end (socket(7), SO_LINGER).
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        writer.transport.abort()
