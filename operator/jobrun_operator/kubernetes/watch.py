"""kopf, embedded: it watches JobRuns and calls one plain event handler.

It runs in a thread with an event loop of its own: kopf ends all tasks of its loop when it ends, and begins anew after
what it can't survive (the CRD removed, permissions taken away), which must not touch the runs. Plain event handlers
leave nothing on users' objects: no finalizer, no annotation. An exception in a handler would be kopf's to log and
nobody's to repeat, so the handler only hands over.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import kopf
from kubernetes.aio.client.configuration import Configuration

from jobrun_operator.api import GROUP, PLURAL, VERSION
from jobrun_operator.kubernetes.api import Object

log = logging.getLogger(__name__)

INACTIVITY_SECONDS = 90.0
"""A watch without even a bookmark for so long may be dead: the API server sends one every 60 to 75 seconds."""

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 15.0
"""Seconds before kopf is begun again."""

_STOP_SECONDS = 3.0

OnEvent = Callable[[str | None, Object], None]


class JobRunWatch:
    """``on_event`` is called in the event loop in which ``main`` runs."""

    def __init__(
        self,
        configuration: Configuration,
        namespaces: Sequence[str],
        on_event: OnEvent,
        *,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        self._configuration = configuration
        self._namespaces = tuple(namespaces)
        self._on_event = on_event
        self._on_start = on_start

    async def main(self) -> None:
        """Until cancelled: kopf, begun again whenever it has ended."""
        loop = asyncio.get_running_loop()
        wait = _FIRST_WAIT
        while True:
            started = loop.time()
            self._on_start()
            await self._run_once()
            wait = _FIRST_WAIT if loop.time() - started > 60 else min(wait * 2, _LONGEST_WAIT)
            log.warning("the watch of JobRuns ended; beginning it again in %g s", wait)
            await asyncio.sleep(wait)

    async def _run_once(self) -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop = threading.Event()

        def work() -> None:
            try:
                asyncio.run(self._operate(loop, stop))
            except BaseException:
                log.exception("watching JobRuns failed")
            finally:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(ended.set)

        thread = threading.Thread(target=work, name="kopf", daemon=True)
        thread.start()
        try:
            await ended.wait()
        except asyncio.CancelledError:
            stop.set()
            await asyncio.to_thread(thread.join, _STOP_SECONDS)
            raise

    async def _operate(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        where: dict[str, Any] = (
            {"namespaces": self._namespaces} if self._namespaces else {"clusterwide": True}
        )
        await kopf.operator(
            registry=self._registry(loop), settings=_settings(), standalone=True, stop_flag=stop, **where
        )

    def _registry(self, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.ConnectionInfo:
            return await _connection(self._configuration)

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
            loop.call_soon_threadsafe(self._on_event, type, dict(body))

        return registry


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # who waits for the CRD is the command; namespaces are given
    settings.watching.inactivity_timeout = INACTIVITY_SECONDS
    settings.watching.connect_timeout = 10.0
    settings.watching.chunk_size = 250
    settings.networking.request_timeout = 30.0
    # For ever, so that an API server that is away for long is not a reason to end.
    settings.networking.error_backoffs = _Backoffs()
    settings.process.ultimate_exiting_timeout = None
    return settings


class _Backoffs:
    """Seconds between tries of a request: rising to 5, without end."""

    def __iter__(self) -> Any:
        return itertools.chain((0.5, 1.0, 2.0), itertools.repeat(5.0))


async def _connection(configuration: Configuration) -> kopf.ConnectionInfo:
    header = await configuration.get_api_key_with_prefix("BearerToken") or ""
    *scheme, token = header.split(" ", 1)
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme[0] if scheme else "Bearer",
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
