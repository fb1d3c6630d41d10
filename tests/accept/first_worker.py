"""How soon an operator asks for the first worker of a run, on a real nats-server and a real API server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import nats
from nats.aio.client import Client

from accept.bound import Bound, at_most, told
from cluster.world import install, job_run
from jobrun_operator.kubernetes.template import UID_LABEL
from jobrun_worker.wire import Names
from support.control_plane import ControlPlane, binaries
from support.nats_server import NatsServer
from support.operator_process import OperatorProcess

_NAMESPACE = "first"
_RUNS = f"/apis/jobrun.dev/v1alpha1/namespaces/{_NAMESPACE}/jobruns"
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments"
_LIMIT = 60.0
"""Seconds that anything may take."""


def asked_for(folder: Path, *, runs: int) -> Iterator[Bound]:
    """Of runs without a rate, one after the other: those with one ask before they release."""
    programs = binaries("etcd", "kube-apiserver")
    if isinstance(programs, str):
        yield told("not measured", programs)
        return
    seconds = asyncio.run(_measure(folder, programs, runs))
    yield told(
        "from the first release to a Deployment patched, the median", f"{sorted(seconds)[runs // 2]:.3f} s"
    )
    yield at_most("the longest", max(seconds), 1.0, " s", of_speed=True)


async def _measure(folder: Path, programs: Path, runs: int) -> list[float]:
    plane = ControlPlane(folder, programs)
    operator: OperatorProcess | None = None
    try:
        plane.start()
        install(plane)
        plane.make("/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
        async with NatsServer(folder / "nats") as broker:
            kubeconfig = plane.kubeconfig("operator", plane.token, _NAMESPACE)
            operator = OperatorProcess(folder, kubeconfig, broker.url, watch_namespaces=_NAMESPACE)
            operator.start()
            client = await nats.connect(broker.url)
            try:
                return [await _one(plane, client, f"run{number}") for number in range(runs)]
            finally:
                await client.close()
    finally:
        if operator is not None:
            operator.end()
        plane.stop()


async def _one(plane: ControlPlane, client: Client, name: str) -> float:
    """Seconds from when the first task was stored until the Deployment asked for a worker."""
    uid = str(plane.make(_RUNS, job_run(name, tasks={"count": 200}))["metadata"]["uid"])
    async with asyncio.timeout(_LIMIT):
        while not await asyncio.to_thread(_wants_worker, plane, uid):  # noqa: ASYNC110  # nothing signals it
            await asyncio.sleep(0.01)
        asked = time.time()
        subject = f"$JS.API.DIRECT.GET.{Names().work_stream(uid)}"
        first = await client.request(subject, json.dumps({"seq": 1}).encode(), timeout=5)
    assert first.headers is not None
    return asked - datetime.fromisoformat(first.headers["Nats-Time-Stamp"]).timestamp()


def _wants_worker(plane: ControlPlane, uid: str) -> bool:
    made = [
        one for one in plane.get(_DEPLOYMENTS)["items"] if one["metadata"]["labels"].get(UID_LABEL) == uid
    ]
    return any(one["spec"]["replicas"] > 0 for one in made)
