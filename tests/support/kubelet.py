"""Plays scheduler and kubelet: the worker containers of pods as processes of this machine.

It binds each pod of a run to a node, starts what its container ``worker`` says with the environment of the pod, tells
readiness as the container's own probe has it, restarts what ends unasked, and on deletion sends SIGTERM, waits for the
pod's grace period at most, and removes the pod. Deployments and ReplicaSets are the real controllers' work.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from kubernetes.aio.client.configuration import Configuration

from jobrun_operator.errors import JobRunError
from jobrun_operator.kubernetes.api import MERGE, KubeApi, Object
from jobrun_operator.metrics import OperatorMetrics
from support.control_plane import free_port
from support.plane import Plane

LABEL = "jobrun.dev/uid"
_LOOK_SECONDS = 0.05
_RESTART_SECONDS = 0.3
_MOUNT_SECONDS = 2.0
"""Between two looks at mounted Secrets; a kubelet's takes a minute or so."""


@dataclass(frozen=True)
class Asked:
    """A Deployment was seen to ask for so many workers."""

    uid: str
    replicas: int


@dataclass
class _Pod:
    item: Object
    task: asyncio.Task[None] | None = None
    deleted: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None
    mounts: dict[Path, str] = field(default_factory=dict)
    """Folders, with the name of the Secret whose keys are the files in it."""
    started: str = ""
    restarts: int = 0
    last: Object = field(default_factory=dict)
    """How its container ended before, as ``lastState`` has it."""

    def status(self, *, ready: bool, exit_code: int | None = None) -> Object:
        """``exit_code``: it has ended, and is not started again yet."""
        now = _now()
        state: Object = {"running": {"startedAt": self.started}}
        if exit_code is not None:
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": "restarting failed container"}}
            ended = {"exitCode": exit_code, "startedAt": self.started, "finishedAt": now}
            self.last = {"terminated": ended}
        flag = "True" if ready else "False"
        container = {
            "name": "worker",
            "ready": ready,
            "restartCount": self.restarts,
            "image": "test",
            "imageID": "test",
            "state": state,
            "lastState": self.last,
        }
        return {
            "phase": "Running",
            "conditions": [
                {"type": "Ready", "status": flag, "lastTransitionTime": now},
                {"type": "ContainersReady", "status": flag, "lastTransitionTime": now},
            ],
            "containerStatuses": [container],
        }


class Kubelet:
    """Of the pods of one namespace. ``handlers`` is the worker's working directory."""

    def __init__(self, plane: Plane, namespace: str, handlers: Path, logs: Path) -> None:
        self._plane = plane
        self._namespace = namespace
        self._handlers = handlers
        self._logs = logs
        self._pods: dict[str, _Pod] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._api: KubeApi | None = None
        self.asked: list[Asked] = []
        """Every number of replicas that was seen, in order."""
        self.holding = False
        """Where set, new pods are left pending."""

    @property
    def processes(self) -> int:
        return sum(pod.process is not None and pod.process.returncode is None for pod in self._pods.values())

    @property
    def api(self) -> KubeApi:
        assert self._api is not None
        return self._api

    async def __aenter__(self) -> Self:
        self._api = KubeApi(administrator(self._plane), OperatorMetrics())
        self._logs.mkdir(parents=True, exist_ok=True)
        for path, heard in (
            (f"/api/v1/namespaces/{self._namespace}/pods", self._heard_pod),
            (f"/apis/apps/v1/namespaces/{self._namespace}/deployments", self._heard_deployment),
        ):
            self._tasks.append(asyncio.create_task(self._follow(path, heard)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pods = [pod.task for pod in self._pods.values() if pod.task is not None]
        for task in [*self._tasks, *pods]:
            task.cancel()
        await asyncio.gather(*self._tasks, *pods, return_exceptions=True)
        for pod in self._pods.values():
            if pod.process is not None and pod.process.returncode is None:
                pod.process.kill()
                await pod.process.wait()
        await self.api.close()

    async def _follow(self, path: str, heard: Any) -> None:
        known: dict[str, Object] = {}
        while True:
            with contextlib.suppress(JobRunError):
                listed = await self.api.get(path, labelSelector=LABEL)
                found = {item["metadata"]["uid"]: item for item in listed.get("items") or []}
                for uid in known.keys() - found.keys():
                    heard("DELETED", known.pop(uid))
                for item in found.values():
                    heard("MODIFIED", item)
                known |= found
                query = {"labelSelector": LABEL, "resourceVersion": listed["metadata"]["resourceVersion"]}
                async for event in self.api.watch(path, query, inactivity=120):
                    if event["type"] == "BOOKMARK":
                        continue
                    known[event["object"]["metadata"]["uid"]] = event["object"]
                    heard(event["type"], event["object"])
            await asyncio.sleep(_LOOK_SECONDS)

    def _heard_deployment(self, kind: str, item: Object) -> None:
        uid = item["metadata"]["labels"][LABEL]
        replicas = 0 if kind == "DELETED" else int(item["spec"].get("replicas", 1))
        last = next((one.replicas for one in reversed(self.asked) if one.uid == uid), None)
        if replicas != last:
            self.asked.append(Asked(uid, replicas))

    def _heard_pod(self, kind: str, item: Object) -> None:
        uid = item["metadata"]["uid"]
        if kind == "DELETED":
            if (gone := self._pods.pop(uid, None)) is not None:
                gone.deleted.set()
                if gone.process is not None and gone.process.returncode is None:
                    gone.process.kill()
            return
        pod = self._pods.setdefault(uid, _Pod(item))
        pod.item = item
        if pod.task is None and not self.holding and not item["metadata"].get("deletionTimestamp"):
            pod.task = asyncio.create_task(self._run(pod))
        if item["metadata"].get("deletionTimestamp"):
            pod.deleted.set()

    # --- one pod ----------------------------------------------------------------------------------------

    async def _run(self, pod: _Pod) -> None:
        meta = pod.item["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "this-machine"},
        }
        with contextlib.suppress(JobRunError):
            await self.api.request("POST", f"{path}/binding", body=binding)
        container = next(one for one in pod.item["spec"]["containers"] if one["name"] == "worker")
        try:
            while not pod.deleted.is_set():
                port = free_port()
                env = await self._environment(pod, container) | {
                    "JOBRUN_PORT": str(port),
                    "JOBRUN_HOST": "127.0.0.1",
                }
                pod.started = _now()
                await self._tell(path, pod.status(ready=False))
                argv = [sys.executable if part == "python" else part for part in container["command"]]
                with (self._logs / f"{meta['name']}.log").open("ab") as log:
                    pod.process = await asyncio.create_subprocess_exec(
                        *argv, env=env, cwd=self._handlers, stdout=log, stderr=log
                    )
                await self._attend(pod, path, f"http://127.0.0.1:{port}{_readiness_path(container)}")
                if not pod.deleted.is_set():
                    code = pod.process.returncode or 0
                    await self._tell(path, pod.status(ready=False, exit_code=code))
                    await asyncio.sleep(_RESTART_SECONDS)
                    pod.restarts += 1
        finally:
            if pod.process is not None and pod.process.returncode is None:
                pod.process.kill()
        await self._remove(path)

    async def _attend(self, pod: _Pod, path: str, readiness: str) -> None:
        """Until the process has ended, by itself or because the pod was deleted."""
        assert pod.process is not None
        exited = asyncio.create_task(pod.process.wait())
        deleted = asyncio.create_task(pod.deleted.wait())
        ready = False
        loop = asyncio.get_running_loop()
        mount_at = loop.time() + _MOUNT_SECONDS
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while not exited.done() and not deleted.done():
                try:
                    async with session.get(readiness) as answer:
                        now = answer.status == 200
                except (aiohttp.ClientError, TimeoutError):
                    now = False
                if now != ready:
                    ready = now
                    await self._tell(path, pod.status(ready=ready))
                if loop.time() >= mount_at:
                    mount_at = loop.time() + _MOUNT_SECONDS
                    with contextlib.suppress(JobRunError):
                        await self._mount(pod)
                pause = 0.5 if ready else _LOOK_SECONDS
                await asyncio.wait({exited, deleted}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        deleted.cancel()
        if not exited.done():
            pod.process.terminate()
            grace = pod.item["metadata"].get("deletionGracePeriodSeconds") or 30
            await asyncio.wait({exited}, timeout=grace)
            if not exited.done():
                pod.process.kill()
        await exited

    async def _environment(self, pod: _Pod, container: Object) -> dict[str, str]:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(self._handlers), "PYTHONUNBUFFERED": "1"}
        for one in container.get("env") or []:
            source = one.get("valueFrom") or {}
            if "fieldRef" in source:
                env[one["name"]] = pod.item["metadata"]["name"]
            elif "secretKeyRef" in source:
                env[one["name"]] = (await self._secret(source["secretKeyRef"]["name"]))[
                    source["secretKeyRef"]["key"]
                ]
            else:
                env[one["name"]] = one["value"]
        for mount in container.get("volumeMounts") or []:
            volume = next(one for one in pod.item["spec"]["volumes"] if one["name"] == mount["name"])
            if "secret" not in volume:
                continue
            place = self._logs / f"{pod.item['metadata']['name']}-{mount['name']}"
            place.mkdir(exist_ok=True)
            pod.mounts[place] = volume["secret"]["secretName"]
            env = {name: value.replace(mount["mountPath"], str(place)) for name, value in env.items()}
        await self._mount(pod)
        return env

    async def _mount(self, pod: _Pod) -> None:
        for place, name in pod.mounts.items():
            for key, value in (await self._secret(name)).items():
                if not (place / key).exists() or (place / key).read_text() != value:
                    (place / key).write_text(value)

    async def _secret(self, name: str) -> dict[str, str]:
        stored = await self.api.get(f"/api/v1/namespaces/{self._namespace}/secrets/{name}")
        return {key: base64.b64decode(value).decode() for key, value in stored["data"].items()}

    async def _tell(self, path: str, status: Object) -> None:
        """For as long as it takes: a kubelet tries until the API server is there again."""
        while True:
            try:
                await self.api.request("PATCH", f"{path}/status", body={"status": status}, content_type=MERGE)
            except JobRunError as error:
                if "does not answer" not in str(error) and "failed" not in str(error):
                    return
            else:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _remove(self, path: str) -> None:
        while True:
            try:
                await self.api.request("DELETE", path, query={"gracePeriodSeconds": "0"})
            except JobRunError as error:
                if "does not answer" not in str(error) and "failed" not in str(error):
                    return
            else:
                return
            await asyncio.sleep(_LOOK_SECONDS)


def administrator(plane: Plane) -> Configuration:
    configuration = Configuration()
    configuration.host = plane.url
    configuration.ssl_ca_cert = None if plane.ca_file is None else str(plane.ca_file)
    configuration.api_key["BearerToken"] = f"Bearer {plane.token}"
    return configuration


def _readiness_path(container: Object) -> str:
    return str(container["readinessProbe"]["httpGet"]["path"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
