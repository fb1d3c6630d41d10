"""Permissions that are taken away while the operator runs: /readyz says which; what is denied is seldom asked for."""

from __future__ import annotations

import time
from collections.abc import Callable

from cluster.world import World, job_run
from support.operator_process import OperatorProcess

DENIED, LEAST_SECONDS = 5, 2.0
"""So many denials of one run take so long at least; at every look there would be as many in half of it.

Each further one would double the wait, for it and for the permissions that are given back."""


def denied(operator: OperatorProcess) -> float:
    return sum(
        value
        for (name, labels), value in operator.samples().items()
        if name == "jobrun_api_request_seconds_count" and ("code", "403") in labels
    )


async def test_permissions_that_are_gone_are_on_readyz_and_not_asked_for_all_the_time(world: World) -> None:
    operator = world.operator(relist_seconds="5")
    await world.apply(job_run(tasks={"count": 2000}, rate={"tasks": 20, "periodSeconds": 1}))
    await world.phase("backfill", "Running")
    await world.until(lambda: world.kubelet.processes > 0)
    bindings = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{world.namespace}/rolebindings"
    binding = world.plane.get(f"{bindings}/{world.namespace}-namespaced")
    world.plane.request("DELETE", f"{bindings}/{world.namespace}-namespaced")
    _, said = await world.until(not_ready(operator))
    assert "may not" in said
    assert f"in namespace {world.namespace}" in said
    assert "ClusterRole" in said
    assert operator.answer("/healthz")[0] == 200
    since, before = time.monotonic(), denied(operator)
    await world.until(lambda: denied(operator) - before >= DENIED)
    assert time.monotonic() - since >= LEAST_SECONDS
    binding["metadata"] = {"name": binding["metadata"]["name"]}
    world.plane.make(bindings, binding)
    await world.until(lambda: operator.answer("/readyz")[0] == 200)
    then = world.run("backfill").status.tasks.released  # type: ignore[union-attr]
    await world.until(lambda: world.run("backfill").status.tasks.released > then + 20)  # type: ignore[union-attr]


def not_ready(operator: OperatorProcess) -> Callable[[], tuple[int, str] | None]:
    def look() -> tuple[int, str] | None:
        code, said = operator.answer("/readyz")
        return (code, said) if code == 503 else None

    return look


async def test_a_quota_that_denies_is_the_runs_trouble_only(world: World) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/deployments.apps": "0"}}}
    world.plane.make(f"/api/v1/namespaces/{world.namespace}/resourcequotas", quota)
    operator = world.operator()
    await world.apply(job_run(tasks={"count": 9999}))
    await world.until(lambda: any("exceeded quota" in one["note"] for one in world.events("backfill")))
    assert operator.answer("/readyz") == (200, "ok\n")
