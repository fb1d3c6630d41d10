"""What a test of the operator needs around it: a namespace of its own, with all that the chart would set up."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from jobrun_operator.api import JobRun
from jobrun_operator.api.schema import crd
from support.kubelet import Kubelet
from support.nats_server import NatsServer
from support.operator_process import OperatorProcess
from support.plane import Plane

LIMIT = 60.0
"""Seconds that a test waits for a state; far more than any takes."""

_LOOK = 0.05

RULES = yaml.safe_load((Path(__file__).parents[1] / "support" / "rbac.yaml").read_text())

HANDLERS = """
import os, time

def double(payload):
    return {"doubled": payload["index"] * 2}

def odd_fails(payload):
    from jobrun_worker import Fail
    if payload["index"] % 2:
        raise Fail("odd")
    return payload["index"]

def missing_key(payload):
    return payload["no such key"]

def slow(payload):
    time.sleep(0.05)
    return None
"""


def install(plane: Plane) -> None:
    """The CRD, and the operator's roles: once for a control plane."""
    plane.make("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd())
    deadline = time.monotonic() + LIMIT
    while plane.request("GET", "/apis/jobrun.dev/v1alpha1/jobruns")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(_LOOK)
    for name in ("namespaced", "cluster"):
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"jobrun-{name}"},
            "rules": RULES[name],
        }
        plane.make("/apis/rbac.authorization.k8s.io/v1/clusterroles", role)


@dataclass
class World:
    plane: Plane
    broker: NatsServer
    kubelet: Kubelet
    namespace: str
    folder: Path
    token: str
    operators: list[OperatorProcess] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def make(cls, plane: Plane, broker: NatsServer, folder: Path) -> AsyncIterator[World]:
        namespace = f"t{uuid.uuid4().hex[:8]}"
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        plane.make("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": labels}})
        token = service_account(plane, "default", namespace, namespace)
        async with cls._around(plane, broker, folder, namespace, token) as world:
            try:
                yield world
            finally:
                plane.request("DELETE", f"{world.runs}?propagationPolicy=Background")
                plane.request("DELETE", f"/api/v1/namespaces/{namespace}")

    @classmethod
    @asynccontextmanager
    async def emulated(cls, plane: Plane, broker: NatsServer, folder: Path) -> AsyncIterator[World]:
        """On an API that knows no namespaces, roles or accounts, and is thrown away afterwards."""
        async with cls._around(plane, broker, folder, f"t{uuid.uuid4().hex[:8]}", plane.token) as world:
            yield world

    @classmethod
    @asynccontextmanager
    async def _around(
        cls, plane: Plane, broker: NatsServer, folder: Path, namespace: str, token: str
    ) -> AsyncIterator[World]:
        handlers = folder / "handlers"
        handlers.mkdir()
        (handlers / "work.py").write_text(HANDLERS)
        async with Kubelet(plane, namespace, handlers, folder / "pods") as kubelet:
            world = cls(plane, broker, kubelet, namespace, folder, token)
            try:
                yield world
            finally:
                for operator in world.operators:
                    operator.end()

    @property
    def runs(self) -> str:
        return f"/apis/jobrun.dev/v1alpha1/namespaces/{self.namespace}/jobruns"

    def operator(self, *, everywhere: bool = False, **settings: str) -> OperatorProcess:
        """Of this namespace, or of the whole cluster; another one each time, and started."""
        folder = self.folder / f"operator{len(self.operators)}"
        folder.mkdir()
        if everywhere:
            token, where = service_account(self.plane, "default", f"{self.namespace}-all", None), ""
        else:
            token, where = self.token, self.namespace
        kubeconfig = self.plane.kubeconfig("operator", token, self.namespace)
        operator = OperatorProcess(
            folder, kubeconfig, self.broker.url, **{"watch_namespaces": where, **settings}
        )
        self.operators.append(operator)
        operator.start()
        return operator

    async def patch(self, name: str, change: dict[str, Any]) -> None:
        """A JSON merge patch of a run."""
        path = f"{self.runs}/{name}"
        await asyncio.to_thread(self.plane.ask, "PATCH", path, change, "application/merge-patch+json")

    async def delete(self, name: str) -> None:
        await asyncio.to_thread(self.plane.ask, "DELETE", f"{self.runs}/{name}")

    async def create(self, *manifests: dict[str, Any]) -> None:
        for manifest in manifests:
            await asyncio.to_thread(self.plane.make, self.runs, manifest)

    async def kubectl(
        self, *arguments: str, given: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """As an administrator, in this namespace."""
        config = self.plane.kubeconfig("administrator", self.plane.token, self.namespace)
        command = [str(self.plane.kubectl), f"--kubeconfig={config}", *arguments]
        done = await asyncio.to_thread(
            subprocess.run, command, input=given, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    async def apply(self, *manifests: dict[str, Any]) -> None:
        await self.kubectl("apply", "-f", "-", given="\n---\n".join(json.dumps(one) for one in manifests))

    def run(self, name: str) -> JobRun:
        return JobRun.from_wire(self.plane.get(f"{self.runs}/{name}"))

    async def until(self, holds: Callable[[], Any], what: str = "", limit: float = LIMIT) -> Any:
        """What ``holds`` gives once it is true; it may raise RuntimeError or OSError until then."""
        deadline = time.monotonic() + limit
        last: Any = None
        while True:
            try:
                if found := await asyncio.to_thread(holds):
                    return found
            except (RuntimeError, OSError) as error:
                last = error
            if time.monotonic() > deadline:
                logs = "\n".join(one.log.read_text()[-6000:] for one in self.operators if one.log.exists())
                raise AssertionError(f"not within {limit} s: {what or holds}: {last}\n{logs}")
            await asyncio.sleep(_LOOK)

    async def phase(self, name: str, phase: str, limit: float = LIMIT) -> JobRun:
        """The run once it is in that phase."""

        def reached() -> JobRun | None:
            run = self.run(name)
            return run if run.status.phase == phase else None

        return await self.until(reached, f"{name} {phase}", limit)

    def deployments(self) -> list[dict[str, Any]]:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        return list(self.plane.get(path)["items"])

    def events(self, name: str) -> list[dict[str, Any]]:
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"
        found = [one for one in self.plane.get(path)["items"] if one["regarding"]["name"] == name]
        return [one for one in found if one["regarding"]["kind"] == "JobRun"]


def job_run(name: str = "backfill", *, worker: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A JobRun of 20 tasks whose handler is in the folder of handlers."""
    return {
        "apiVersion": "jobrun.dev/v1alpha1",
        "kind": "JobRun",
        "metadata": {"name": name},
        "spec": {
            "tasks": {"count": 20},
            "worker": {"image": "registry.example/work:1", "python": "work:double", **(worker or {})},
            "scaling": {"maxReplicas": 2, "scaleDown": {"stabilizationWindowSeconds": 1}},
            **spec,
        },
    }


def service_account(plane: Plane, home: str, name: str, namespace: str | None) -> str:
    """The token of a new one that has the operator's roles in ``namespace``; None: in all of the cluster."""
    plane.make(f"/api/v1/namespaces/{home}/serviceaccounts", {"metadata": {"name": name}})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": home}
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    everywhere = f"{rbac}/clusterrolebindings"
    there = f"{rbac}/namespaces/{namespace}/rolebindings" if namespace else everywhere
    for path, role in ((there, "namespaced"), (everywhere, "cluster")):
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding" if path == everywhere else "RoleBinding",
            "metadata": {"name": f"{name}-{role}"},
            "subjects": [subject],
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": f"jobrun-{role}",
            },
        }
        plane.make(path, binding)
    request = {"spec": {"expirationSeconds": 7200}}
    path = f"/api/v1/namespaces/{home}/serviceaccounts/{name}/token"
    return str(plane.make(path, request)["status"]["token"])
