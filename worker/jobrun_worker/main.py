"""The process of a worker: settings from the environment, signals, exit status.

Exit status: 0 after a drain, also one whose grace period ended (what was left is delivered again); 1 when the worker
can't go on, so that it is replaced; 2 for settings or a handler that can't be used. A second SIGTERM or SIGINT
ends the process at once, with 128 and the signal's number.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from jobrun_worker.describe import describe
from jobrun_worker.handlers import Handler, HandlerError, load
from jobrun_worker.health import Health
from jobrun_worker.logs import configure
from jobrun_worker.metrics import WorkerMetrics
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.worker import Worker

log = logging.getLogger(__name__)

UNUSABLE = 2
"""Exit status for settings or a handler that can't be used: another worker would fare no better."""


def main(environ: Mapping[str, str]) -> int:
    """Run a worker until it is told to stop; returns the exit status."""
    try:
        settings, handler = _prepare(environ)
    except (ValueError, HandlerError) as error:
        sys.stderr.write(f"jobrun worker: {error}\n")
        return UNUSABLE
    configure(settings)
    return asyncio.run(_serve(settings, handler))


def check(environ: Mapping[str, str]) -> int:
    """Whether a worker could start: settings and handler, without the broker. 0 or 2, as ``main``."""
    try:
        _prepare(environ)
    except (ValueError, HandlerError) as error:
        sys.stderr.write(f"jobrun worker: {error}\n")
        return UNUSABLE
    return 0


def _prepare(environ: Mapping[str, str]) -> tuple[WorkerSettings, Handler]:
    """Raises ValueError or HandlerError, which say what to change."""
    settings = WorkerSettings.from_env(environ)
    settings.address.login()  # what can't be used shows here, and not when the broker is there
    if not settings.worker:
        settings = replace(settings, worker=f"{socket.gethostname()}-{os.getpid()}")
    return settings, load(settings)


async def _serve(settings: WorkerSettings, handler: Handler) -> int:
    metrics = WorkerMetrics()
    metrics.slots.set(settings.slots)
    worker = Worker(settings, handler, metrics)
    worker.on_exhausted = partial(_exhausted, worker)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(_on_loop_error, worker))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, worker, number)
    health = Health(worker, metrics, settings.host, settings.port) if settings.port else None
    if health is not None:
        try:
            await health.start()
        except OSError as error:
            log.error("can't serve /healthz on %s:%d: %s", settings.host, settings.port, error)
            return 1
    try:
        status = await worker.run()
    finally:
        if health is not None:
            await health.stop()
    if worker.stuck:
        _exit_now(status)  # the loop and the interpreter would wait for the handler at their end
    return status


def _on_signal(worker: Worker, number: signal.Signals) -> None:
    if worker.draining:
        log.warning("%s again: ending at once; tasks in work will be delivered again", number.name)
        worker.kill()
        _exit_now(128 + number)
    worker.stop(number.name)


def _exhausted(worker: Worker, error: BaseException) -> None:
    """As the kernel would end it, while that can still be told: without memory nothing else can be relied on."""
    try:
        log.error("out of memory, so this process ends; its tasks are delivered again: %s", describe(error))
        worker.kill()
    finally:
        os._exit(1)


def _on_loop_error(worker: Worker, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, MemoryError):
        _exhausted(worker, error)
    loop.default_exception_handler(context)


def _exit_now(status: int) -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
