"""Runs that the API server has stored and the models refuse: made Failed, once, with everything that is wrong.

An older CRD, or a rule that a schema can't express, lets them through. The run's own fields can't be trusted then, so
nothing of it is started; what had begun before an edit made it so is ended as any failure is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from jobrun_operator.api import API_VERSION, KIND, PLURAL, ConditionType, InvalidObject, JobRunStatus, Phase
from jobrun_operator.core import conditions
from jobrun_operator.core.conditions import Standing
from jobrun_operator.core.lifecycle import Fault
from jobrun_operator.core.reasons import Reason
from jobrun_operator.errors import Conflict, Gone, JobRunError
from jobrun_operator.kubernetes.api import MERGE, KubeApi, Object, collection, metadata
from jobrun_operator.kubernetes.budget import Urgency, WriteBudget
from jobrun_operator.kubernetes.events import KubeEvents, Regarding

log = logging.getLogger(__name__)

Fail = Callable[[str, Fault], bool]
"""Told of the uid of a run that can't go on; returns whether somebody takes care of it."""


class Refusals:
    """``refuse`` may be called for the same object again and again."""

    def __init__(self, api: KubeApi, budget: WriteBudget, events: KubeEvents, fail: Fail) -> None:
        self._api = api
        self._budget = budget
        self._events = events
        self._fail = fail
        self._writing: dict[str, asyncio.Task[None]] = {}

    def refuse(self, item: Object, error: InvalidObject) -> None:
        uid = str(metadata(item).get("uid", ""))
        fault = Fault(Reason.INVALID_SPEC, str(error))
        if self._fail(uid, fault) or uid in self._writing:
            return
        status = refused_status(item, fault, datetime.now(UTC))
        if status is None:
            return  # it has been told before, maybe by another process
        task = asyncio.create_task(self._write(item, status), name=f"refuse {metadata(item).get('name')}")
        self._writing[uid] = task
        task.add_done_callback(lambda _: self._writing.pop(uid, None))

    async def _write(self, item: Object, status: JobRunStatus) -> None:
        meta = metadata(item)
        namespace, name = str(meta["namespace"]), str(meta["name"])
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
            "status": status.to_wire(),
        }
        path = f"{collection(API_VERSION, PLURAL, namespace)}/{name}/status"
        await self._budget.take(Urgency.TRANSITION)
        try:
            await self._api.request("PATCH", path, body=body, content_type=MERGE)
            said = status.condition(ConditionType.FAILED)
            if said is not None:
                where = Regarding(namespace, name, str(meta["uid"]), str(meta["resourceVersion"]))
                await self._events.tell(where, reason=said.reason, message=said.message, warning=True)
        except (Conflict, Gone):
            return  # it has changed: the watch tells it again as it is now
        except JobRunError as error:
            log.warning("%s/%s can't be told that it is refused: %s", namespace, name, error)
        else:
            log.warning("%s/%s is refused: %s", namespace, name, status.conditions[0].message)


def refused_status(item: Object, fault: Fault, now: datetime) -> JobRunStatus | None:
    """The status of an object that is refused; None where it has ended already."""
    before = _status_of(item.get("status"))
    if before.phase is not None and before.phase.is_final:
        return None
    generation = int(metadata(item).get("generation") or 0)
    standing = Standing(Phase.FAILED, fault.reason, fault.message, failing=fault)
    return before.model_copy(
        update={
            "observed_generation": generation or None,
            "phase": Phase.FAILED,
            "conditions": conditions.render(before.conditions, standing, generation=generation, now=now),
            "completion_time": now,
        }
    )


def _status_of(value: Any) -> JobRunStatus:
    try:
        return JobRunStatus.model_validate(value or {})
    except ValueError:
        return JobRunStatus()
