"""The process of a worker: settings from the environment, signals, exit status.

Exit status: 0 after a drain, also one whose grace period ended (what was left is delivered again); 1 when the worker
can't go on, so that it is replaced; 2 for settings or a handler that can't be used. A second SIGTERM or SIGINT
ends the process at once, with 128 and the signal's number.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from jobrun_worker.describe import describe
from jobrun_worker.ends import UNUSABLE
from jobrun_worker.handlers import Handler, HandlerError, load
from jobrun_worker.health import Health, alive, ready
from jobrun_worker.logs import configure
from jobrun_worker.metrics import WorkerMetrics
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.supervised import Supervised, supervisor_socket, tell_failure
from jobrun_worker.supervisor import Supervisor
from jobrun_worker.vitals import Vitals, families
from jobrun_worker.worker import Worker

log = logging.getLogger(__name__)

GARBAGE = 10_000
"""Objects that are made before those in cycles are looked for: a task takes several, and leaves none in a cycle."""


def main(environ: MutableMapping[str, str]) -> int:
    """Run a worker until it is told to stop; returns the exit status.

    What is no business of handlers is taken out of ``environ``.
    """
    supervisor = supervisor_socket(environ)
    try:
        settings = _settings(environ)
        handler = None if settings.processes > 1 else load(settings)
    except (ValueError, HandlerError) as error:
        if supervisor is not None:
            tell_failure(supervisor, str(error))
        else:
            sys.stderr.write(f"jobrun worker: {error}\n")
        return UNUSABLE
    configure(settings)
    if handler is None:
        return asyncio.run(_supervise(settings, environ))
    return asyncio.run(_serve(settings, handler, supervisor))


def check(environ: Mapping[str, str]) -> int:
    """Whether a worker could start: settings and handler, without the broker. 0 or 2, as ``main``."""
    try:
        load(_settings(environ))
    except (ValueError, HandlerError) as error:
        sys.stderr.write(f"jobrun worker: {error}\n")
        return UNUSABLE
    return 0


def _settings(environ: Mapping[str, str]) -> WorkerSettings:
    """Raises ValueError, which says what to change."""
    settings = WorkerSettings.from_env(environ)
    settings.address.login()  # what can't be used shows here, and not when the broker is there
    if not settings.worker:
        settings = replace(settings, worker=f"{socket.gethostname()}-{os.getpid()}")
    return settings


async def _supervise(settings: WorkerSettings, environ: Mapping[str, str]) -> int:
    """By the command that started this process, so that handlers are found in the same way."""
    supervisor = Supervisor(settings, environ, (sys.executable, *sys.orig_argv[1:]))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.on_signal, number)
    return await supervisor.run()


async def _serve(settings: WorkerSettings, handler: Handler, supervisor: socket.socket | None) -> int:
    metrics = WorkerMetrics()
    metrics.slots.set(settings.slots)
    worker = Worker(settings, handler, metrics)
    worker.on_exhausted = partial(_exhausted, worker)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(_on_loop_error, worker))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, worker, number)
    observer = _observer(worker, metrics, settings, supervisor)
    if observer is not None:
        try:
            await observer.start()
        except OSError as error:
            log.error("can't serve /healthz on %s:%d: %s", settings.host, settings.port, error)
            return 1
    gc.freeze()  # what has been imported stays, and is not looked through again and again
    gc.set_threshold(GARBAGE)
    try:
        status = await worker.run()
    finally:
        if observer is not None:
            await observer.stop()
    if worker.stuck:
        _exit_now(status)  # the loop and the interpreter would wait for the handler at their end
    return status


def _observer(
    worker: Worker, metrics: WorkerMetrics, settings: WorkerSettings, supervisor: socket.socket | None
) -> Supervised | Health | None:
    """Who hears how this worker does: the process that supervises it, or whoever asks its port."""
    loop = asyncio.get_running_loop()

    def measured() -> CollectorRegistry:
        metrics.in_flight.set(worker.held)
        metrics.running.set(worker.running)
        return metrics.registry

    def is_alive() -> str:
        return alive(worker, loop.time())

    def vitals() -> Vitals:
        return Vitals(worker.came_up, is_alive(), ready(worker), worker.failure, families(measured()))

    if supervisor is not None:
        supervised = Supervised(
            supervisor, vitals, partial(worker.stop, "the process that supervises this one is gone")
        )
        worker.on_up = supervised.tell
        return supervised
    if not settings.port:
        return None

    def page() -> bytes:
        return generate_latest(measured())

    return Health(is_alive, partial(ready, worker), page, settings.host, settings.port)


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
