"""A Kubernetes API without a cluster: kmock's emulator, with what the operator relies on added to it.

kmock keeps objects and serves lists, watches and discovery. Added here: uid, resourceVersion and generation, the guard
of a write by its resourceVersion, the status subresource, server-side apply (as a merge: nobody's fields are kept
apart), and one controller, which makes and ends the pods of Deployments. It checks no schema and knows no permissions:
what a test shows of these, only a real API server can show.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kmock
from aiohttp import web

from support.plane import Plane

Object = dict[str, Any]

RESOURCES: Mapping[str, str] = {
    "v1/configmaps": "ConfigMap",
    "v1/secrets": "Secret",
    "v1/pods": "Pod",
    "apps/v1/deployments": "Deployment",
    "events.k8s.io/v1/events": "Event",
    "jobrun.dev/v1alpha1/jobruns": "JobRun",
}
_WITH_STATUS = {"JobRun", "Deployment", "Pod"}
_START_SECONDS = 30.0


class EmulatedPlane(Plane):
    """Served by a thread of its own, so that a test may ask it from anywhere."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True, name="emulated API")

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise RuntimeError("the emulated API did not start")

    def stop(self) -> None:
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_SECONDS)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        async with _Api() as api, kmock.Server(api, host="127.0.0.1") as server:
            for resource, kind in RESOURCES.items():
                api.resources[resource] = kmock.ResourceInfo(
                    kind=kind,
                    singular=kind.lower(),
                    namespaced=True,
                    verbs={"get", "list", "watch", "create", "patch", "update", "delete"},
                    subresources={"status"} if kind in _WITH_STATUS else set(),
                )
            # kopf watches nothing before discovery has shown it namespaces, though it reads none of them here.
            api.resources["v1/namespaces"] = kmock.ResourceInfo(
                kind="Namespace", singular="namespace", namespaced=False, verbs={"get", "list", "watch"}
            )
            # The namespace that tells one cluster from another; kmock has no objects at such a path.
            home = {"kind": "Namespace", "metadata": {"name": "kube-system", "uid": str(uuid.uuid4())}}
            api["get", "/api/v1/namespaces/kube-system"] << home
            self.url = str(server.url).rstrip("/")
            self._ready.set()
            await self._stop.wait()


class _Api(kmock.KubernetesEmulator):
    """Writes are carried out here; what is read is served by kmock."""

    async def _handle(self, request: kmock.Request) -> web.StreamResponse:
        if request.resource is None or request.method.value in ("GET", "HEAD"):
            return await super()._handle(request)
        async with self._lock:
            try:
                status, answer = await self._write(request)
            except _Refusal as refusal:
                status, answer = refusal.status, _status(refusal)
        return web.json_response(answer, status=status)

    async def _write(self, request: kmock.Request) -> tuple[int, Object]:
        method, body = request.method.value, request.data
        if request.subresource == "binding":
            return 201, {"kind": "Status", "status": "Success"}
        if method == "POST":
            return 201, await self._create(request, body)
        key = (request.resource, request.namespace, request.name)
        stored = None if key not in self._objects or self._objects[key].deleted else self._objects[key].raw
        applied = "apply-patch" in request.headers.get("Content-Type", "")
        if stored is None and applied and not body["metadata"].get("uid"):
            return 201, await self._create(request, body)
        if stored is None:
            raise _Refusal(404, "NotFound", f"{request.name} not found")
        if method == "DELETE":
            return 200, await self._delete(request, key, stored, body or {})
        _guard(stored, body)
        new = copy.deepcopy(stored)
        if request.subresource == "status":
            new["status"] = (
                body["status"] if method == "PUT" else _merged(stored.get("status"), body["status"])
            )
        else:
            new = dict(body) if method == "PUT" else _merged(stored, body)
            new["metadata"] = {**stored["metadata"], **(new.get("metadata") or {})}
            if "status" in stored:
                new["status"] = stored["status"]
        if new == stored:
            return 200, stored
        if new.get("spec") != stored.get("spec"):
            new["metadata"]["generation"] = stored["metadata"].get("generation", 1) + 1
        return 200, await self._store("MODIFIED", key, new)

    async def _create(self, request: kmock.Request, body: Object) -> Object:
        meta = {
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            **body["metadata"],
        }
        if "generateName" in meta and "name" not in meta:
            meta["name"] = f"{meta['generateName']}{uuid.uuid4().hex[:5]}"
        if request.namespace is not None:
            meta["namespace"] = request.namespace
        key = (request.resource, request.namespace, meta["name"])
        if key in self._objects and not self._objects[key].deleted:
            raise _Refusal(409, "AlreadyExists", f"{meta['name']} already exists")
        kind = RESOURCES[f"{_group_version(request)}/{request.resource.plural}"]
        return await self._store(
            "ADDED", key, {"apiVersion": _group_version(request), "kind": kind, **body, "metadata": meta}
        )

    async def _delete(self, request: kmock.Request, key: Any, stored: Object, options: Object) -> Object:
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted not in (None, stored["metadata"]["uid"]):
            raise _Refusal(409, "Conflict", "the object is another one")
        self._objects[key].delete()
        await self._buses[request.resource].put({"type": "DELETED", "object": stored})
        await self._remove_owned_by(stored["metadata"]["uid"])
        return stored

    async def _store(self, change: str, key: Any, item: Object) -> Object:
        item["metadata"]["resourceVersion"] = str(next(_versions))
        if key in self._objects:
            self._objects[key].create(item)
        else:
            self._objects[key] = item
        await self._buses[key[0]].put({"type": change, "object": item})
        if item["kind"] == "Deployment":
            await self._make_pods(item)
        return item

    # --- what controllers would do ----------------------------------------------------------------------

    async def _make_pods(self, deployment: Object) -> None:
        """As many pods as the Deployment asks for; surplus ones are told to end, as a ReplicaSet's are."""
        meta, spec = deployment["metadata"], deployment["spec"]
        pods = {
            key: pod
            for key, pod in self._living("pods")
            if _owner(pod) == meta["uid"] and not pod["metadata"].get("deletionTimestamp")
        }
        resource = kmock.resource("", "v1", "pods")
        for _ in range(spec.get("replicas", 1) - len(pods)):
            name = f"{meta['name']}-{uuid.uuid4().hex[:5]}"
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": meta["namespace"],
                    "uid": str(uuid.uuid4()),
                    "labels": spec["template"]["metadata"]["labels"],
                    "ownerReferences": [{"uid": meta["uid"], "controller": True}],
                },
                "spec": spec["template"]["spec"],
            }
            await self._store("ADDED", (resource, meta["namespace"], name), pod)
        for key, pod in list(pods.items())[: max(0, len(pods) - spec.get("replicas", 1))]:
            grace = pod["spec"].get("terminationGracePeriodSeconds", 30)
            ending = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
            await self._store("MODIFIED", key, _merged(pod, {"metadata": ending}))

    async def _remove_owned_by(self, uid: str) -> None:
        for plural in ("deployments", "pods"):
            for key, item in self._living(plural):
                if _owner(item) == uid:
                    self._objects[key].delete()
                    await self._buses[key[0]].put({"type": "DELETED", "object": item})
                    await self._remove_owned_by(item["metadata"]["uid"])

    def _living(self, plural: str) -> list[tuple[Any, Object]]:
        found = [(key, item) for key, item in self._objects.items() if key[0].plural == plural]
        return [(key, item.raw) for key, item in found if not item.deleted]


class _Refusal(Exception):
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


def _status(refusal: _Refusal) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": refusal.reason,
        "message": str(refusal),
        "code": refusal.status,
    }


def _guard(stored: Object, body: Object) -> None:
    """Optimistic concurrency, as the API conventions have it: what a write says of the object must be so."""
    said = body.get("metadata") or {}
    for name in ("uid", "resourceVersion"):
        if said.get(name) not in (None, "", stored["metadata"].get(name)):
            raise _Refusal(409, "Conflict", f"the object has been modified: {name} is another one")


def _merged(old: Any, new: Any) -> Any:
    """JSON merge patch (RFC 7396)."""
    if not isinstance(new, dict):
        return new
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _owner(item: Object) -> str:
    return next((str(one["uid"]) for one in item["metadata"].get("ownerReferences") or []), "")


def _group_version(request: kmock.Request) -> str:
    resource = request.resource
    return f"{resource.group}/{resource.version}" if resource.group else str(resource.version)


_versions = itertools.count(1)
