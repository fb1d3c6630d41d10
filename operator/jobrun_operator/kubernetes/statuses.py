"""The ``StatusWriter`` port: the status subresource, guarded by resourceVersion, within the write budget.

A transition waits for its place in the budget. Progress is written when it is the run's turn, and else left for a later
look: the run is then returned as it was, so that the engine knows what is stored. A status that is not allowed is tried
again at longer and longer intervals.
"""

from __future__ import annotations

from jobrun_operator.api import API_VERSION, KIND, PLURAL, InvalidObject, JobRun, JobRunStatus
from jobrun_operator.core import reporting
from jobrun_operator.errors import Gone
from jobrun_operator.kubernetes.api import KubeApi, Object, collection
from jobrun_operator.kubernetes.budget import Urgency, WriteBudget
from jobrun_operator.kubernetes.refusals import stand_in
from jobrun_operator.kubernetes.restraint import Restraint


class KubeStatuses:
    def __init__(self, api: KubeApi, budget: WriteBudget) -> None:
        self._api = api
        self._budget = budget
        self._restraint = Restraint()

    async def write(self, run: JobRun, status: JobRunStatus) -> JobRun:
        ended = (
            status.phase is not None and status.phase.is_final
        )  # no later look would write what this one leaves
        told = ended or reporting.standing(run.status) != reporting.standing(status)
        if not told and (self._restraint.waits(run.uid) or not self._budget.may_show_progress(run.uid)):
            return run
        with self._restraint.asking(run.uid):
            if told:
                await self._budget.take(Urgency.TRANSITION)
            return await self._put(run, status)

    async def _put(self, run: JobRun, status: JobRunStatus) -> JobRun:
        path = f"{_path(run)}/status"
        meta = {
            "name": run.name,
            "namespace": run.namespace,
            "uid": run.uid,
            "resourceVersion": run.metadata.resource_version,
        }
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": meta,
            "spec": run.spec.to_wire(),  # ignored by this subresource, and required by the schema
            "status": status.to_wire(),
        }
        return _as_stored(await self._api.request("PUT", path, body=body), run)

    async def read(self, run: JobRun) -> JobRun:
        stored = await self._api.get(_path(run))
        if stored["metadata"].get("uid") != run.uid:
            raise Gone(f"JobRun {run.namespace}/{run.name} is another one now")
        return _as_stored(stored, run)


def _as_stored(stored: Object, known: JobRun) -> JobRun:
    """An object whose spec the models refuse keeps the spec that it was last known with: it is told elsewhere."""
    try:
        return JobRun.from_wire(stored)
    except InvalidObject:
        return stand_in(stored, known.spec)


def _path(run: JobRun) -> str:
    return f"{collection(API_VERSION, PLURAL, run.namespace)}/{run.name}"
