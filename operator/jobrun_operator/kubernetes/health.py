"""``/healthz``, ``/readyz`` and ``/metrics`` of the operator on one port.

Alive is what a new process could make better: the fleet's loop comes around, the watch tells what lists show, what
follows the workers goes on trying, and the connection to the broker comes back. A broker or an API server that is away
makes the operator not ready, and is waited for: a restart would bring nothing back and lose what is known. Only a
connection that is closed, or that has been away for longer than outages are, is taken for one that this process can't
make any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from jobrun_operator.errors import EnvironmentFault
from jobrun_operator.metrics import OperatorMetrics
from jobrun_worker.serving import Port

MOST_BEAT_AGE = 120.0
"""Seconds: above every time-out that one turn of the fleet's loop may meet in a row."""

MOST_BEHIND = 240.0
"""Seconds that the watch may owe what a list has shown: above its inactivity time-out and two lists."""

MOST_STILL = 240.0
"""Seconds without as much as a try to follow the workers: above all tries of one request, and the inactivity
time-out of a watch."""

MOST_BROKER_AWAY = 1800.0
"""Seconds without a connection to the broker: far above an outage that is worth waiting for in the same process."""

Trouble = Callable[[], str]
"""Empty, or what is wrong."""


class Health:
    def __init__(self, metrics: OperatorMetrics, port: int) -> None:
        self._metrics = metrics
        self._port = port
        self.alive: Trouble = lambda: ""
        self.ready: Trouble = lambda: "starting"
        self.before_metrics: Callable[[], Awaitable[None]] = _nothing
        """Awaited before metrics are shown, to bring gauges up to date."""
        pages = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._page}
        self._pages = Port(pages, "0.0.0.0", port)  # noqa: S104  # probes come from outside of the pod

    async def start(self) -> int:
        """Returns the port. Raises EnvironmentFault where it is taken."""
        try:
            return await self._pages.start()
        except OSError as error:
            raise EnvironmentFault(f"port {self._port} can't be used for /healthz: {error}") from error

    async def stop(self) -> None:
        await self._pages.stop()

    async def _healthz(self) -> web.Response:
        return _answer(self.alive())

    async def _readyz(self) -> web.Response:
        return _answer(self.alive() or self.ready())

    async def _page(self) -> web.Response:
        await self.before_metrics()
        return web.Response(
            body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


def alive(beat_age: float, behind: float, broker_away: float = 0.0, still: float = 0.0) -> str:
    """Why the process should be replaced; empty: it should not. Seconds; ``broker_away`` is infinite for a connection
    that is closed for good."""
    if broker_away == float("inf"):
        return "the connection to the broker is closed and not made again"
    if broker_away > MOST_BROKER_AWAY:
        return f"there has been no connection to the broker for {broker_away:.0f} s"
    if beat_age > MOST_BEAT_AGE:
        return f"the loop over all runs has not come around for {beat_age:.0f} s"
    if behind > MOST_BEHIND:
        return f"the watch of JobRuns has not told for {behind:.0f} s what lists show"
    if still > MOST_STILL:
        return f"nothing was done for {still:.0f} s to learn of workers"
    return ""


async def _nothing() -> None:
    pass


def _answer(trouble: str) -> web.Response:
    return web.Response(text=f"{trouble or 'ok'}\n", status=503 if trouble else 200)
