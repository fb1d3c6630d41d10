"""Pages on one HTTP port, for probes and for Prometheus; whoever else comes can't fill the process or its log.

A client may send half a request and stay, or garbage, or come a thousand times: a connection lives for a minute, the
oldest one gives way where there are too many, and what is not HTTP is answered with 400 and not logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

MOST_CONNECTIONS = 128
"""Far above probes and scrapes, far below the files that a process may have open."""
LONGEST_CONNECTION = 60.0
"""Seconds; a client that keeps its connection makes another then."""
LAST_ANSWER = 10.0
"""Seconds that an answer may take which was begun by then."""

Page = Callable[[], Awaitable[web.Response]]

log = logging.getLogger(__name__)


class Port:
    """``pages`` by their paths. ``start`` may be called once."""

    def __init__(self, pages: Mapping[str, Page], host: str, port: int) -> None:
        self._pages = pages
        self._host = host
        self._port = port
        log.addFilter(_is_ours)
        self._runner = web.ServerRunner(_Bounded(self._serve, access_log=None, logger=log))

    async def start(self) -> int:
        """Returns the port. Raises OSError where it is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        page = self._pages.get(request.path)
        if page is None:
            return web.Response(text="no such page\n", status=404)
        if request.method not in ("GET", "HEAD"):
            return web.Response(text="only GET\n", status=405, headers={"Allow": "GET, HEAD"})
        return await page()


class _Bounded(web.Server):
    """Ends connections: the oldest of too many, and each in the end."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.Response]], **options: Any) -> None:
        super().__init__(handler, **options)
        self._ages: dict[RequestHandler, float] = {}
        """When each was first seen, on the loop's clock."""
        self._sweeping: asyncio.TimerHandle | None = None

    def __call__(self) -> RequestHandler:
        connection: RequestHandler = super().__call__()
        for oldest in self.connections[: max(0, len(self.connections) - MOST_CONNECTIONS + 1)]:
            oldest.force_close()
        if self._sweeping is None:
            self._sweep()
        return connection

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._ages = {connection: self._ages.get(connection, now) for connection in self.connections}
        for connection, since in self._ages.items():
            if now - since > LONGEST_CONNECTION + LAST_ANSWER:
                connection.force_close()
            elif now - since > LONGEST_CONNECTION:
                connection.close()  # after the answer that is being given
        idle = self._sweeping is not None and not self._ages
        self._sweeping = None if idle else loop.call_later(LONGEST_CONNECTION / 10, self._sweep)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether an error is one of a page: what a client sends wrong is told to the client."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)
