"""Deployments of workers on a real API server: who owns which field, and that the number of workers is never reset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from cluster.world import World, job_run
from jobrun_operator.api import JobRun
from jobrun_operator.engine.ports import WorkersState
from jobrun_operator.errors import (
    ApiUnavailable,
    Conflict,
    Gone,
    JobRunError,
    NotAllowed,
    Refused,
    TemporaryError,
)
from jobrun_operator.kubernetes.api import APPLY, KubeApi, Object
from jobrun_operator.kubernetes.budget import Urgency, WriteBudget
from jobrun_operator.kubernetes.configs import KubeSecrets
from jobrun_operator.kubernetes.deployments import SCALE, TEMPLATE, DeploymentWorkers
from jobrun_operator.kubernetes.informer import Informer
from jobrun_operator.kubernetes.observation import kept_of_pod
from jobrun_operator.kubernetes.template import UID_LABEL, WorkerPlace, deployment, deployment_name
from jobrun_operator.metrics import OperatorMetrics
from support.kubelet import administrator


class RecordingApi(KubeApi):
    """Remembers what was applied, by whom, in which order."""

    def __init__(self, world: World) -> None:
        super().__init__(administrator(world.plane), OperatorMetrics())
        self.applied: list[tuple[str, Object]] = []

    async def request(self, method: str, path: str, **options: Any) -> Object:
        if options.get("content_type") == APPLY:
            self.applied.append((options["query"]["fieldManager"], options["body"]))
        return await super().request(method, path, **options)


@dataclass
class Rig:
    api: RecordingApi
    workers: DeploymentWorkers

    async def until(self, uid: str, holds: Callable[[WorkersState], bool]) -> WorkersState:
        async with asyncio.timeout(30):
            while True:
                state = await self.workers.observe(uid)
                if holds(state):
                    return state
                await asyncio.sleep(0.05)

    async def settled(self, uid: str, replicas: int, *, running: int | None = None) -> None:
        await self.until(uid, lambda state: state.desired == replicas and running in (None, state.running))


@asynccontextmanager
async def rig(world: World, budget: WriteBudget | None = None) -> AsyncIterator[Rig]:
    api = RecordingApi(world)
    deployments = Informer(api, [f"/apis/apps/v1/namespaces/{world.namespace}/deployments"], UID_LABEL)
    pods = Informer(api, [f"/api/v1/namespaces/{world.namespace}/pods"], UID_LABEL, keep=kept_of_pod)
    workers = DeploymentWorkers(
        api, deployments, pods, KubeSecrets(api), budget or WriteBudget(100), WorkerPlace(world.broker.url)
    )
    following = [asyncio.create_task(deployments.main()), asyncio.create_task(pods.main())]
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(deployments.listed.wait(), pods.listed.wait())
        yield Rig(api, workers)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        await api.close()


async def made(world: World, **spec: Any) -> JobRun:
    world.kubelet.holding = True
    await world.apply(job_run(suspend=True, **spec))
    return world.run("backfill")


async def test_a_run_without_workers_has_no_deployment(world: World) -> None:
    run = await made(world)
    async with rig(world) as one:
        await one.workers.scale(run, 0)
        assert world.deployments() == []
        state = await one.workers.observe(run.uid)
        assert (state.desired, state.running, state.ready, state.error) == (0, 0, 0, "")
        await one.workers.remove(run.uid)


async def test_two_managers_in_one_order(world: World) -> None:
    run = await made(world)
    async with rig(world) as one:
        await one.workers.scale(run, 3)
        await one.settled(run.uid, 3, running=3)
        assert [manager for manager, _ in one.api.applied] == [SCALE, TEMPLATE, SCALE]
        created, templated, scaled = (body for _, body in one.api.applied)
        assert created["spec"]["replicas"] == 0
        assert "replicas" not in templated["spec"]
        assert scaled["spec"] == {"replicas": 3}
        (stored,) = world.deployments()
        assert stored["metadata"]["name"] == deployment_name(run)
        assert {templated["metadata"]["uid"], scaled["metadata"]["uid"]} == {stored["metadata"]["uid"]}
        assert owners(stored) == {SCALE: {"replicas"}, TEMPLATE: set(templated["spec"])}
        assert [asked.replicas for asked in world.kubelet.asked] == [0, 3]


async def test_a_change_of_the_worker_rolls_pods_and_keeps_their_number(world: World) -> None:
    extra = {"spec": {"containers": [{"name": "worker", "env": [{"name": "A", "value": "1"}]}]}}
    run = await made(world, worker={"template": extra})
    async with rig(world) as one:
        await one.workers.scale(run, 2)
        await one.settled(run.uid, 2)
        before = len(one.api.applied)
        await world.apply(
            job_run(suspend=True, worker={"concurrency": 3}, rate={"tasks": 1, "periodSeconds": 1})
        )
        run = world.run("backfill")
        await one.workers.scale(run, 2)
        assert [manager for manager, _ in one.api.applied[before:]] == [TEMPLATE]
        (stored,) = world.deployments()
        environment = {
            variable["name"]: variable.get("value")
            for variable in stored["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        assert environment["JOBRUN_CONCURRENCY"] == "3"
        assert "A" not in environment  # what a manifest does not say any more is gone
        assert stored["spec"]["replicas"] == 2
        assert {asked.replicas for asked in world.kubelet.asked} == {0, 2}

        before = len(one.api.applied)
        await world.apply(
            job_run(suspend=True, worker={"concurrency": 3}, rate={"tasks": 9, "periodSeconds": 1})
        )
        await one.workers.scale(world.run("backfill"), 2)
        assert one.api.applied[before:] == []  # neither a rate nor a scale is the workers' business


async def test_two_at_once_end_with_what_was_asked(world: World) -> None:
    run = await made(world)
    async with rig(world) as one, rig(world) as other:
        both = (one.workers.scale(run, 2), other.workers.scale(run, 2))
        for result in await asyncio.gather(*both, return_exceptions=True):
            assert result is None or isinstance(result, TemporaryError), result
        for each in (one, other):
            await each.workers.scale(run, 2)
            await each.settled(run.uid, 2)
        assert world.kubelet.asked[-1].replicas == 2
        assert 1 not in {asked.replicas for asked in world.kubelet.asked}


async def test_one_that_another_operator_is_making_right_now(world: World) -> None:
    """Its template has no owner of its own yet: a bare apply of the replicas would be refused."""
    run = await made(world)
    async with rig(world) as one:
        whole = deployment(run, WorkerPlace(world.broker.url), ())
        whole["spec"]["replicas"] = 0
        path = f"/apis/apps/v1/namespaces/{world.namespace}/deployments/{deployment_name(run)}"
        await one.api.apply(path, whole, manager=SCALE)
        await one.workers.scale(run, 2)
        await one.settled(run.uid, 2, running=2)
        (stored,) = world.deployments()
        assert set(owners(stored)) == {SCALE, TEMPLATE}


async def test_a_change_of_the_worker_replaces_a_quarter_at_a_time(world: World) -> None:
    run = await made(world)
    async with rig(world) as one:
        await one.workers.scale(run, 8)
        await one.settled(run.uid, 8, running=8)
        await world.apply(job_run(suspend=True, worker={"concurrency": 3}))
        await one.workers.scale(world.run("backfill"), 8)
        await one.settled(run.uid, 8, running=10)  # new ones, until they are ready


class Queue(WriteBudget):
    """The first who waits for a write does so while ``meanwhile`` happens."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(100)
        self._meanwhile: list[Callable[[], Awaitable[None]]] = [meanwhile]

    async def take(self, urgency: Urgency, *, within: float | None = None) -> None:
        if self._meanwhile:
            await self._meanwhile.pop()()
        await super().take(urgency, within=within)


async def test_one_that_another_operator_makes_and_scales_meanwhile_is_not_set_back(world: World) -> None:
    run = await made(world)

    async def meanwhile() -> None:
        await other.workers.scale(run, 3)
        await other.settled(run.uid, 3, running=3)

    async with rig(world) as other, rig(world, Queue(meanwhile)) as late:
        await late.workers.scale(run, 3)
        await late.settled(run.uid, 3, running=3)
        (stored,) = world.deployments()
        assert stored["spec"]["replicas"] == 3
        assert owners(stored)[SCALE] == {"replicas"}
        assert [asked.replicas for asked in world.kubelet.asked] == [0, 3]


async def test_removed_and_made_again(world: World) -> None:
    run = await made(world)
    async with rig(world) as one:
        await one.workers.scale(run, 1)
        await one.settled(run.uid, 1, running=1)
        await one.workers.remove(run.uid)
        await one.settled(run.uid, 0, running=0)
        async with asyncio.timeout(30):
            while True:
                try:
                    await one.workers.scale(run, 1)
                except (ApiUnavailable, Conflict):
                    await asyncio.sleep(0.05)
                else:
                    break
        await one.settled(run.uid, 1, running=1)


async def test_what_the_api_server_refuses_is_final_and_said(world: World) -> None:
    bad = {"spec": {"containers": [{"name": "worker", "resources": {"limits": {"memory": "lots"}}}]}}
    run = await made(world, worker={"template": bad})
    async with rig(world) as one:
        with pytest.raises(Refused, match="quantities must match"):
            await one.workers.scale(run, 1)


async def test_what_is_refused_over_a_deployment_that_is_there_is_tried_again(world: World) -> None:
    bad = {"spec": {"containers": [{"name": "worker", "resources": {"limits": {"memory": "lots"}}}]}}
    run = await made(world)
    async with rig(world) as one:
        await one.workers.scale(run, 1)
        await world.apply(job_run(suspend=True, worker={"template": bad}))
        edited = world.run("backfill")
        with pytest.raises(NotAllowed, match="quantities must match"):
            await one.workers.scale(edited, 2)
        await one.settled(run.uid, 1)
        await one.workers.scale(edited, 0)  # what has nothing to do with it goes on
        await one.settled(run.uid, 0)


async def test_why_there_are_no_pods_is_seen(world: World) -> None:
    privileged = {
        "spec": {
            "containers": [{"name": "worker", "securityContext": {"runAsUser": 0, "runAsNonRoot": False}}]
        }
    }
    run = await made(world, worker={"template": privileged})
    async with rig(world) as one:
        await one.workers.scale(run, 1)
        state = await one.until(run.uid, lambda state: bool(state.error))
        assert "violates PodSecurity" in state.error
        assert state.ready == 0


async def test_errors_are_ours(world: World) -> None:
    async with rig(world) as one:
        path = f"/apis/apps/v1/namespaces/{world.namespace}/deployments"
        with pytest.raises(Gone):
            await one.api.get(f"{path}/missing")
        with pytest.raises(Refused):
            await one.api.request("POST", path, body={"metadata": {"name": "UPPER"}})
        with pytest.raises(JobRunError):
            await one.api.request("POST", path, body={"kind": "Nonsense"})


def owners(stored: Object) -> dict[str, set[str]]:
    """Which fields of spec each manager of an apply owns."""
    owned = {}
    for entry in stored["metadata"]["managedFields"]:
        if entry["operation"] == "Apply":
            fields = entry["fieldsV1"].get("f:spec", {})
            owned[entry["manager"]] = {name.removeprefix("f:") for name in fields if name != "."}
    return owned
