"""When a status is worth a write: people watch it, and an API server pays for it."""

from __future__ import annotations

from jobrun_operator.api import JobRunStatus

LEAST_SECONDS = 1.0
"""Between two writes of one run; transitions are written when they are made, and don't ask here."""

MOST_SECONDS = 10.0
"""After which a change of any kind is written."""


def worth_writing(written: JobRunStatus, now: JobRunStatus, seconds_since: float) -> bool:
    """Whether ``now`` is to be written, ``seconds_since`` the last write: when a condition has changed, progress has
    moved by a percent or 10 seconds have passed, but never twice a second; what has not changed is not written."""
    if seconds_since < LEAST_SECONDS or written == now:
        return False
    if seconds_since >= MOST_SECONDS or _progress(written) != _progress(now):
        return True
    return standing(written) != standing(now)


def standing(status: JobRunStatus) -> tuple[object, ...]:
    """What of a status is more than progress."""
    conditions = tuple(
        (condition.type, condition.status, condition.reason) for condition in status.conditions
    )
    return (status.phase, status.observed_generation, conditions)


def _progress(status: JobRunStatus) -> str | None:
    return status.summary.progress if status.summary else None
