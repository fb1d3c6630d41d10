"""What a run's workers are told: ``spec.worker``, ``spec.retry`` and ``spec.results`` as the wire contract has them."""

from __future__ import annotations

from typing import Any

from jobrun_operator.api import JobRun
from jobrun_worker.settings import WorkerSettings

_GRACE_MARGIN = 5
"""Seconds beyond the time limit of a task that a drain may take: storing outcomes comes after the work."""


def worker_settings(run: JobRun, *, nats_url: str, ack_wait_seconds: float, **place: Any) -> WorkerSettings:
    """``place``: further fields that depend on where the worker runs (credentials, prefix, port)."""
    worker, retry = run.spec.worker, run.spec.retry
    return WorkerSettings(
        nats_url=nats_url,
        uid=run.uid,
        run=run.name,
        namespace=run.namespace,
        handler_python=worker.python or "",
        handler_exec=worker.exec.command if worker.exec else (),
        handler_http=worker.http.url if worker.http else "",
        concurrency=worker.concurrency,
        batch_size=worker.batch_size or 0,
        processes=worker.processes,
        task_timeout_seconds=worker.task_timeout_seconds,
        ack_wait_seconds=ack_wait_seconds,
        grace_seconds=worker.task_timeout_seconds + _GRACE_MARGIN,
        max_attempts=retry.max_attempts,
        retry_initial_delay_seconds=retry.initial_delay_seconds,
        retry_max_delay_seconds=retry.max_delay_seconds,
        retain_results=run.spec.results.retain,
        **place,
    )
