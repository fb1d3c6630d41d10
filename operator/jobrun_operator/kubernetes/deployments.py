"""The ``Workers`` port: a Deployment for each run, by server-side apply with two field managers.

``jobrun-scale`` creates the Deployment whole with ``replicas: 0``; ``jobrun-template`` then applies everything but
``replicas``, by uid, so that it never creates; from then on ``jobrun-scale`` applies ``replicas`` alone, and so gives
up the rest. In any other order there is a moment in which nobody owns ``replicas``, and the API server sets it to 1
(source: Kubernetes, "Server-Side Apply", on defaulting of fields that are given up).

A run that never needed a worker has no Deployment. The owner reference lets the cluster remove it with its run, also
while no operator is there.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime

from jobrun_operator.api import JobRun
from jobrun_operator.engine.ports import Secrets, WorkersState
from jobrun_operator.errors import ApiUnavailable, Conflict, Gone, NotAllowed, Refused
from jobrun_operator.kubernetes import template
from jobrun_operator.kubernetes.api import KubeApi, Object, collection, metadata
from jobrun_operator.kubernetes.budget import Urgency, WriteBudget
from jobrun_operator.kubernetes.informer import Informer
from jobrun_operator.kubernetes.observation import workers_state
from jobrun_operator.kubernetes.template import WorkerPlace

log = logging.getLogger(__name__)

SCALE, TEMPLATE = "jobrun-scale", "jobrun-template"
"""The two field managers."""

_NO_VERSION = "1"
"""The resource version that a Deployment is made with. Where there is none it does not matter; where there is one after
all it can't be its version, and the apply conflicts instead of setting back what another operator has made and scaled
meanwhile (source: Kubernetes, ``registry/generic/registry/store.go``, ``Update``)."""


class DeploymentWorkers:
    """``deployments`` and ``pods`` are kept up to date by others."""

    def __init__(
        self,
        api: KubeApi,
        deployments: Informer,
        pods: Informer,
        secrets: Secrets,
        budget: WriteBudget,
        place: WorkerPlace,
    ) -> None:
        self._api = api
        self._deployments = deployments
        self._pods = pods
        self._secrets = secrets
        self._budget = budget
        self._place = place

    async def scale(self, run: JobRun, replicas: int) -> None:
        try:
            await self._scale(run, replicas)
        except Refused as error:
            if self._stored(run.uid) is None:
                raise
            # What there is goes on, and the run with it: an edit that is refused does not end it.
            raise NotAllowed(str(error)) from error

    async def _scale(self, run: JobRun, replicas: int) -> None:
        stored = self._stored(run.uid)
        if stored is None:
            if not replicas:
                return  # none has to be made for that
            stored = await self._create(run)
        annotations = metadata(stored).get("annotations") or {}
        outdated = annotations.get(template.INPUTS_ANNOTATION) != template.inputs_digest(run, self._place)
        if replicas and outdated:
            stored = await self._apply_template(run, stored)
        if (stored.get("spec") or {}).get("replicas") != replicas:
            await self._apply_replicas(run, stored, replicas)

    async def observe(self, uid: str) -> WorkersState:
        return workers_state(self._deployments.get(uid), self._pods.get(uid), datetime.now(UTC))

    async def remove(self, uid: str) -> None:
        stored = self._stored(uid)
        if stored is None:
            return
        await self._budget.take(Urgency.EVENT)
        preconditions = {"preconditions": {"uid": metadata(stored)["uid"]}, "propagationPolicy": "Background"}
        try:
            await self._api.request("DELETE", _path(stored), body=preconditions)
        except (Gone, Conflict):
            log.debug("the Deployment of run %s is gone already", uid)
        self._deployments.drop(uid, str(metadata(stored)["uid"]))

    def _stored(self, uid: str) -> Object | None:
        """The run's Deployment. Raises ApiUnavailable where that is not known."""
        living = [one for one in self._deployments.get(uid) if not metadata(one).get("deletionTimestamp")]
        return living[0] if living else None

    async def _create(self, run: JobRun) -> Object:
        """The whole, with no replicas; what another operator has made meanwhile is taken as it is."""
        wanted = template.deployment(run, self._place, await self._secret_keys(run))
        path = _path(wanted)
        try:
            stored = await self._api.get(path)
        except Gone:
            await self._budget.take(Urgency.SCALE)
            wanted["spec"]["replicas"] = 0
            wanted["metadata"]["resourceVersion"] = _NO_VERSION
            try:
                stored = await self._api.apply(path, wanted, manager=SCALE)
            except Conflict as error:
                stored = await self._made_meanwhile(path, error)
            else:
                log.info("%s/%s: made Deployment %s", run.namespace, run.name, metadata(stored)["name"])
                stored = await self._apply_template(run, stored)
        if (metadata(stored).get("labels") or {}).get(template.UID_LABEL) != run.uid:
            raise Conflict(f"Deployment {metadata(stored)['name']} is not this run's; delete or rename it")
        if metadata(stored).get("deletionTimestamp"):
            raise Conflict(f"Deployment {metadata(stored)['name']} is being deleted; waiting for that")
        self._deployments.learn(stored)
        return stored

    async def _made_meanwhile(self, path: str, conflict: Conflict) -> Object:
        try:
            return await self._api.get(path)
        except Gone as error:
            raise ApiUnavailable(f"the Deployment has changed meanwhile ({conflict})") from error

    async def _apply_template(self, run: JobRun, stored: Object) -> Object:
        manifest = template.deployment(run, self._place, await self._secret_keys(run))
        manifest["metadata"]["uid"] = metadata(stored)["uid"]
        return await self._apply(run, manifest, TEMPLATE)

    async def _apply_replicas(self, run: JobRun, stored: Object, replicas: int) -> Object:
        meta = metadata(stored)
        manifest = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "spec": {"replicas": replicas},
        }
        try:
            return await self._apply(run, manifest, SCALE)
        except Refused:
            # Seen while another operator was making it: until the template has an owner of its own, this apply would
            # take with it what it does not name.
            await self._apply_template(run, stored)
            return await self._apply(run, manifest, SCALE)

    async def _apply(self, run: JobRun, manifest: Object, manager: str) -> Object:
        await self._budget.take(Urgency.SCALE)
        try:
            stored = await self._api.apply(_path(manifest), manifest, manager=manager)
        except (Gone, Conflict) as error:
            # It was deleted since, or made anew: the copy is wrong, and the next look finds out what is there.
            self._deployments.drop(run.uid, manifest["metadata"]["uid"])
            raise ApiUnavailable(f"the Deployment has changed meanwhile ({error})") from error
        self._deployments.learn(stored)
        return stored

    async def _secret_keys(self, run: JobRun) -> Collection[str]:
        """Raises SourceUnavailable where the Secret is not there (yet): a pod would hang without saying so."""
        name = template.secret_name(run, self._place)
        return (await self._secrets.read_all(run.namespace, name)).keys() if name else ()


def _path(deployment: Object) -> str:
    meta = deployment["metadata"]
    return f"{collection('apps/v1', 'deployments', meta['namespace'])}/{meta['name']}"
