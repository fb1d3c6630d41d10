"""``/healthz``, ``/readyz`` and ``/metrics`` of a worker: one port, off the worker's own state."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from jobrun_worker.serving import Port
from jobrun_worker.worker import Worker

_CONTENT_TYPE = CONTENT_TYPE_LATEST


class Health:
    """``alive`` and ``ready`` return an empty text, or what their pages say with 503; ``metrics`` is a page."""

    def __init__(
        self,
        alive: Callable[[], str],
        ready: Callable[[], str],
        metrics: Callable[[], bytes],
        host: str,
        port: int,
    ) -> None:
        self._alive = alive
        self._ready = ready
        self._metrics = metrics
        pages = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics_page}
        self._port = Port(pages, host, port)

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        await self._port.start()

    async def stop(self) -> None:
        await self._port.stop()

    async def _healthz(self) -> web.Response:
        return _answer(self._alive())

    async def _readyz(self) -> web.Response:
        return _answer(self._ready())

    async def _metrics_page(self) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": _CONTENT_TYPE})


def alive(worker: Worker, now: float) -> str:
    """Empty, or why this process should be replaced. A loop that is blocked for good answers nothing at all."""
    if now - worker.beat > worker.beat_limit:
        return f"the keep-alive of tasks has not run for {now - worker.beat:.0f} s"
    return ""


def ready(worker: Worker) -> str:
    """Empty, or why no tasks come here now."""
    if worker.draining:
        return "draining"
    if trouble := worker.broker.unheard(worker.puller.subject):
        return trouble
    if not worker.puller.pulling:
        return "the broker does not take requests for tasks"
    return ""


def _answer(trouble: str) -> web.Response:
    return web.Response(text=f"{trouble or 'ok'}\n", status=503 if trouble else 200)
