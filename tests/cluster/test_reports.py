"""Statuses and Events on a real API server, held to the suites of their ports."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import pytest

from cluster.world import World
from jobrun_operator.api import JobRun
from jobrun_operator.kubernetes.api import KubeApi
from jobrun_operator.kubernetes.budget import WriteBudget
from jobrun_operator.kubernetes.events import KubeEvents
from jobrun_operator.kubernetes.statuses import KubeStatuses
from jobrun_operator.metrics import OperatorMetrics
from support.kubelet import administrator
from support.reports_conformance import (
    EventsBench,
    EventsConformance,
    News,
    StatusWriterConformance,
    manifest,
)

NO_LIMIT = 1e6
"""Writes per second: nothing waits, and no progress is left out."""


@pytest.fixture
async def api(world: World) -> AsyncIterator[KubeApi]:
    made = KubeApi(administrator(world.plane), OperatorMetrics())
    yield made
    await made.close()


class ClusterBench:
    def __init__(self, world: World, api: KubeApi) -> None:
        self.statuses = KubeStatuses(api, WriteBudget(NO_LIMIT))
        self._world = world

    async def create(self) -> JobRun:
        return JobRun.from_wire(self._world.plane.make(self._world.runs, manifest()))

    async def edit(self, run: JobRun) -> None:
        patch = json.dumps({"spec": {"suspend": True}})
        await self._world.kubectl("patch", "jobrun", run.name, "--type=merge", f"--patch={patch}")

    async def delete(self, run: JobRun) -> None:
        await self._world.kubectl("delete", "jobrun", run.name)


class TestKubeStatuses(StatusWriterConformance):
    @pytest.fixture
    def bench(self, world: World, api: KubeApi) -> ClusterBench:
        return ClusterBench(world, api)


class TestKubeEvents(EventsConformance):
    @pytest.fixture
    async def news(self, world: World, api: KubeApi) -> EventsBench:
        run = JobRun.from_wire(world.plane.make(world.runs, manifest()))

        async def told() -> Sequence[News]:
            return [
                News(event["reason"], event["note"], event["type"] == "Warning")
                for event in world.events(run.name)
            ]

        return EventsBench(KubeEvents(api, WriteBudget(NO_LIMIT)), run, told)
