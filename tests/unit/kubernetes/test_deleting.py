"""A run whose time to live is over is deleted within the budget of writes, and holds up nothing where that is spent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobrun_operator.errors import ApiUnavailable
from jobrun_operator.kubernetes.budget import Urgency, WriteBudget
from jobrun_operator.kubernetes.runs import DELETE_WITHIN, KubeRuns
from support.engine_rig import manifest

PER_SECOND = 20.0


def clock() -> float:
    return asyncio.get_running_loop().time()


class Api:
    def __init__(self) -> None:
        self.deleted: list[float] = []

    async def request(self, method: str, path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        assert method == "DELETE"
        self.deleted.append(clock())
        return {}


def runs(api: Api, budget: WriteBudget) -> KubeRuns:
    return KubeRuns(api, (), lambda item, error: None, budget)  # type: ignore[arg-type]


async def test_deletions_are_writes() -> None:
    api = Api()
    one = runs(api, WriteBudget(PER_SECOND))
    for _ in range(200):
        await one.delete(manifest())
    assert api.deleted[-1] - api.deleted[0] >= 170 / PER_SECOND


async def test_a_deletion_waits_for_what_is_more_urgent_and_not_for_ever() -> None:
    api, budget = Api(), WriteBudget(PER_SECOND)
    one = runs(api, budget)
    urgent = [asyncio.create_task(budget.take(Urgency.SCALE)) for _ in range(2000)]
    await asyncio.sleep(0)
    began = clock()
    with pytest.raises(ApiUnavailable, match="more urgent"):
        await one.delete(manifest())
    assert clock() - began == pytest.approx(DELETE_WITHIN, abs=0.1)
    assert not api.deleted
    await asyncio.gather(*urgent)
    await one.delete(manifest())
    assert api.deleted
