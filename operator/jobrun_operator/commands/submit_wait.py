"""What ``jobrun submit`` tells of a run: what will happen, and with ``--wait`` how it goes until it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import click

from jobrun_operator.api import ConditionType, InvalidObject, JobRun, JobRunStatus, Phase
from jobrun_operator.core import summary
from jobrun_operator.errors import Gone, NotAllowed, TemporaryError

Read = Callable[[], Awaitable[dict[str, Any] | None]]

_INTERVAL = 1.0
"""Seconds between two looks: the operator writes a run's status at most once a second."""

_QUIET_SECONDS = 10.0
"""Between two lines of progress, where the phase stays the same."""


def forecast(run: JobRun, total: int) -> str:
    """ "2,000,000 tasks at 600/min: about 55 h 33 min"."""
    tasks = f"{total:,} task{'' if total == 1 else 's'}"
    if run.spec.rate is None:
        return f"{tasks} as fast as the workers keep up"
    asked = summary.asked_rate(run.spec.rate.fraction(total))
    return f"{tasks} at {asked}: about {summary.spoken_duration(run.spec.least_seconds(total))}"


def line(status: JobRunStatus) -> str:
    """A run's progress as ``kubectl get`` has it."""
    said, tasks = status.summary, status.tasks
    parts = [str(status.phase or Phase.PENDING)]
    if said is not None:
        parts += [said.progress or "", said.rate or ""]
        parts += [f"workers {said.workers}"] if said.workers else []
        parts += [f"left {said.eta}"] if said.eta and status.phase == Phase.RUNNING else []
    if tasks is not None and tasks.failed:
        parts.append(f"failed {tasks.failed:,}")
    ready = status.condition(ConditionType.READY)
    if ready is not None and not ready.is_true and not (status.phase and status.phase.is_final):
        parts.append(f"({ready.message})")
    return " ".join(filter(None, parts))


def outcome(status: JobRunStatus) -> str:
    """How it ended, in one sentence."""
    type_ = ConditionType.COMPLETE if status.phase == Phase.COMPLETED else ConditionType.FAILED
    condition = status.condition(type_)
    return f"{status.phase}: {condition.message}" if condition else str(status.phase)


async def follow(read: Read, uid: str) -> int:
    """Until the run has ended: 0 Completed, 1 Failed. An API server that is away is waited for.

    Raises Gone where the run is deleted, NotAllowed.
    """
    clock = asyncio.get_running_loop().time
    told, told_at, troubled = "", float("-inf"), False
    while True:
        try:
            status = _status(await read(), uid)
        except NotAllowed:
            raise
        except TemporaryError as error:
            if not troubled:
                click.echo(f"{error}; waiting for it", err=True)
            troubled = True
        else:
            troubled = False
            if status.phase is not None and status.phase.is_final:
                click.echo(outcome(status))
                return 0 if status.phase == Phase.COMPLETED else 1
            now = line(status)
            another_phase = now.split(" ")[0] != told.split(" ")[0]
            if now != told and (another_phase or clock() - told_at >= _QUIET_SECONDS):
                click.echo(now)
                told, told_at = now, clock()
        await asyncio.sleep(_INTERVAL)


def _status(item: dict[str, Any] | None, uid: str) -> JobRunStatus:
    if item is None or item["metadata"].get("uid") != uid:
        raise Gone("the run was deleted while it was waited for")
    try:
        return JobRunStatus.model_validate(item.get("status") or {})
    except (InvalidObject, ValueError):
        return JobRunStatus()  # a newer operator's; it ends all the same
