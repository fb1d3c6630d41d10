"""How long the oldest released task of each run has waited for a worker.

Asked for when metrics are, not at every look: a direct get a run that has waiting tasks, whatever their number.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from jobrun_operator.api import JobRun, Phase
from jobrun_operator.errors import JobRunError
from jobrun_operator.jetstream.client import JetStream
from jobrun_worker.wire import Names

_AT_A_TIME = 32
_SECONDS = 5.0
"""After so long the runs that were not asked about yet are left out: metrics must come."""


def first_waiting(run: JobRun) -> int | None:
    """The sequence of the oldest task that waits, by the run's status; None where none does.

    Tasks are taken in the order of their sequence: those that wait are the last ones released.
    """
    tasks = run.status.tasks
    if run.status.phase not in (Phase.RUNNING, Phase.SUSPENDED) or tasks is None or not tasks.waiting:
        return None
    return tasks.released - tasks.waiting + 1


async def oldest_waiting(
    js: JetStream, names: Names, runs: Iterable[JobRun], now: datetime
) -> Mapping[str, float]:
    """Seconds by uid, of the runs that have waiting tasks; a run that can't be asked about now is left out."""
    found: dict[str, float] = {}
    gate = asyncio.Semaphore(_AT_A_TIME)

    async def ask(uid: str, seq: int) -> None:
        async with gate:
            # The status is a moment old: what it counts as waiting may have been taken and finished since.
            request = {"seq": seq, "next_by_subj": names.work_subject(uid)}
            subject = f"$JS.API.DIRECT.GET.{names.work_stream(uid)}"
            try:
                reply = await js.request(subject, json.dumps(request).encode())
            except JobRunError:
                return
            stored = (reply.headers or {}).get("Nats-Time-Stamp")
            if stored is not None:
                found[uid] = max(0.0, (now - datetime.fromisoformat(stored)).total_seconds())

    asked = [(run.uid, first_waiting(run)) for run in runs]
    tasks = [asyncio.create_task(ask(uid, seq)) for uid, seq in asked if seq is not None]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=_SECONDS)
        for task in late:
            task.cancel()
    return found
