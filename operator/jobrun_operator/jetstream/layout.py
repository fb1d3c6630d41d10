"""The configuration of every stream, consumer and bucket that an installation has on the broker.

Pure: names and JSON objects of the JetStream API. Why each is as it is stands next to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_worker import holding, wire
from jobrun_worker.wire import Names

NANOSECONDS = 1_000_000_000

FOR_EVER = "9999-12-31T23:59:59Z"
"""Until when a paused consumer is paused."""

FAILED = "failed"
SUCCEEDED = "succeeded"
"""Consumers of a run's outcomes that never deliver: their ``num_pending`` counts the dead letters and the kept
results, at the same cost whatever the number (``STREAM.INFO`` with ``subjects_filter`` does not scale). Never
acked, they write nothing; kept in memory they would not survive a restart of the broker."""

KEEPS_RESULTS = {"jobrun-keeps-results": "true"}
NO_RESULTS = {"jobrun-keeps-results": "false"}
"""Whether there is a result for each success: true only where they were kept from the first task on."""

_TASK_OVERHEAD = 512
"""Bytes that a task takes at the broker beyond its payload, at most: subject, headers of a batch, the record."""

_LEAST_ROOM = 1 << 16
NO_ROOM = 1
"""Of a stream that nothing is to be stored in; 0 would be no bound."""

_DIGITS = 20
"""As many a sequence has at most; nothing longer is a count of ours."""

_MAX_PULLS = 1000 * 64 * 4
"""Pull requests that may wait at a consumer: those of the largest run, with 1000 workers of 64 processes of 4 lanes.
The same for each run, since the broker never changes it ("max waiting can not be updated") and a run may be given
more workers. Only requests that do wait take memory there."""


@dataclass(frozen=True, slots=True)
class LayoutSettings:
    """What differs between installations. Bytes and seconds."""

    installation: str
    names: Names = field(default_factory=Names)
    replicas: int = 1
    work_max_bytes: int = 64 << 20
    """Of one run's unfinished tasks; the broker reserves as much, or what all tasks of the run take. -1: no bound, and
    none reserved."""
    out_max_bytes: int = -1
    events_max_bytes: int = 256 << 20
    """Of the audit stream, reserved as well."""
    ack_wait_seconds: float = 30.0
    events_max_age_seconds: float = 30 * 86_400.0


def metadata(
    settings: LayoutSettings, run: RunRef, source: SourceSummary, *, keeps_results: bool
) -> dict[str, str]:
    """What proves whose stream it is, and what was promised to be in it."""
    return {
        "jobrun-installation": settings.installation,
        "jobrun-namespace": run.namespace,
        "jobrun-name": run.name,
        "jobrun-uid": run.uid,
        "jobrun-schema": wire.SCHEMA_VERSION,
        "jobrun-source-count": str(source.count),
        "jobrun-source-digest": source.digest,
        "jobrun-source-version": source.version,
        "jobrun-source-size": "" if source.size is None else str(source.size),
        **(KEEPS_RESULTS if keeps_results else NO_RESULTS),
    }


def source_of(meta: Mapping[str, str]) -> SourceSummary | None:
    """The source that a stream was made for; None where the metadata is not ours."""
    count = _number(meta, "jobrun-source-count")
    if count is None:
        return None
    return SourceSummary(
        count=count,
        digest=meta.get("jobrun-source-digest", ""),
        version=meta.get("jobrun-source-version", ""),
        size=_number(meta, "jobrun-source-size"),
    )


def _number(meta: Mapping[str, str], key: str) -> int | None:
    text = meta.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else None


def keeps_results(meta: Mapping[str, str]) -> bool:
    """Whether results are kept since the first task."""
    return meta.get("jobrun-keeps-results") == "true"


def work_room(settings: LayoutSettings, source: SourceSummary) -> int:
    """Bytes to set aside for unfinished tasks: no more than all of the run's tasks take. -1: no bound, and none set
    aside."""
    if settings.work_max_bytes < 0 or source.size is None:
        return settings.work_max_bytes
    return min(settings.work_max_bytes, _LEAST_ROOM + source.size + source.count * _TASK_OVERHEAD)


def work_stream(
    settings: LayoutSettings, uid: str, source: SourceSummary, meta: Mapping[str, str]
) -> dict[str, Any]:
    """``meta``: of ``metadata``."""
    names = settings.names
    return {
        "name": names.work_stream(uid),
        "subjects": [names.work_subject(uid)],
        "retention": "workqueue",  # a task leaves its stream when it is acked, and only then
        "storage": "file",
        "discard": "new",  # a full stream refuses; it never forgets a task
        "max_bytes": work_room(settings, source),
        "num_replicas": settings.replicas,
        "allow_atomic": True,
        "allow_direct": True,
        "duplicate_window": 0,  # exactly-once comes of expected sequences, not of remembered message ids
        "metadata": dict(meta),
    }


def workers_consumer(settings: LayoutSettings, *, paused: bool = False) -> dict[str, Any]:
    """Of tasks, and of retries."""
    return ({"pause_until": FOR_EVER} if paused else {}) | {
        "durable_name": wire.CONSUMER,
        "ack_policy": "explicit",
        "ack_wait": int(settings.ack_wait_seconds * NANOSECONDS),
        "deliver_policy": "all",
        "max_deliver": -1,  # only the worker's own records end a task
        "max_ack_pending": -1,  # maxOutstanding bounds it, delayed retries included
        "max_waiting": _MAX_PULLS,
        "num_replicas": 0,
    }


def retry_stream(settings: LayoutSettings, uid: str, meta: Mapping[str, str]) -> dict[str, Any]:
    """Which dead letters are to be retried, a message each; ``meta``: of ``metadata``."""
    names = settings.names
    return {
        "name": names.retry_stream(uid),
        "subjects": [names.retry(uid, "*")],
        "retention": "workqueue",
        "storage": "file",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "discard_new_per_subject": True,  # asking twice asks once
        "num_replicas": settings.replicas,
        "allow_direct": True,
        "metadata": dict(meta),
    }


def out_stream(settings: LayoutSettings, uid: str, meta: Mapping[str, str]) -> dict[str, Any]:
    """``meta``: of ``metadata``."""
    names = settings.names
    return {
        "name": names.out_stream(uid),
        "subjects": names.out_subjects(uid),
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_bytes": settings.out_max_bytes,
        "max_msgs_per_subject": 1,
        "num_replicas": settings.replicas,
        "allow_direct": True,
        "metadata": dict(meta),
    }


def counting_consumer(settings: LayoutSettings, uid: str, name: str) -> dict[str, Any]:
    subject = settings.names.dead if name == FAILED else settings.names.ok
    return {
        "durable_name": name,
        "ack_policy": "none",
        "deliver_policy": "all",
        "filter_subject": subject(uid, "*"),
        "num_replicas": 0,
    }


def events_stream(settings: LayoutSettings) -> dict[str, Any]:
    prefix = settings.names.prefix
    return {
        "name": f"{prefix}_events",
        "subjects": [f"{prefix}.event.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": int(settings.events_max_age_seconds * NANOSECONDS),
        "max_bytes": settings.events_max_bytes,
        "num_replicas": settings.replicas,
        # An audit record that is told twice after a crash is kept once.
        "duplicate_window": 3600 * NANOSECONDS,
    }


def status_bucket(names: Names, replicas: int) -> dict[str, Any]:
    """Live statuses: only the newest of each run counts, and not beyond a restart of the broker."""
    return _bucket(names, "status", storage="memory", replicas=replicas)


def control_bucket(names: Names, replicas: int) -> dict[str, Any]:
    """Holds of runs: over within an hour, so none has to be removed."""
    bucket = _bucket(names, "control", storage="file", replicas=replicas)
    return bucket | {"max_age": int(holding.KEPT_SECONDS * NANOSECONDS)}


def _bucket(names: Names, name: str, *, storage: str, replicas: int) -> dict[str, Any]:
    """A key-value bucket (source: ADR-8, "JetStream based Key-Value Stores")."""
    full = f"{names.prefix}_{name}"
    return {
        "name": f"KV_{full}",
        "subjects": [f"$KV.{full}.>"],
        "retention": "limits",
        "storage": storage,
        "discard": "new",
        "max_msgs_per_subject": 1,
        "num_replicas": replicas,
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
    }
