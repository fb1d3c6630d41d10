"""What a person does beside Git, and whether Flux leaves it: on the real API server's own bookkeeping of fields.

Flux takes over the fields of every manager whose name *begins* with ``kubectl`` (operation Update or Apply) before it
applies, so that its apply removes them (source: fluxcd/kustomize-controller, ``kustomization_controller.go``,
"to undo changes made with kubectl"; fluxcd/pkg, ``ssa/patch.go``, ``matchFieldManager`` and
``PatchReplaceFieldsManagers``). What it does is done here by its rules, since it is written in Go.
"""

from __future__ import annotations

import asyncio
import copy
import re
from pathlib import Path
from typing import Any

import pytest

from cluster.world import World, job_run

OWNER = "kustomize-controller"
GUIDE = Path(__file__).parents[2] / "docs" / "gitops.md"


async def test_a_pause_as_documented_stays_and_a_bare_one_does_not(world: World) -> None:
    """Both, so that the first shows something: by default the command's fields are taken for a drift."""
    manifest = job_run(suspend=True)
    await flux_applies(world, manifest)
    (documented,) = re.findall(
        r"^ +kubectl (annotate .*jobrun\.dev/paused=true.*?) *#", GUIDE.read_text(), re.M
    )
    await world.kubectl(*documented.split())
    await flux_applies(world, manifest)
    assert await annotations(world) == {"jobrun.dev/paused": "true"}
    await world.kubectl("annotate", "jobrun", "backfill", "jobrun.dev/paused-")
    await world.kubectl("annotate", "jobrun", "backfill", "jobrun.dev/paused=true")
    await flux_applies(world, manifest)
    assert await annotations(world) == {}


async def test_what_the_operator_has_written_stays(world: World) -> None:
    """Its status is of a subresource, which Flux leaves alone; and it writes nothing else."""
    manifest = job_run(tasks={"count": 3})
    await flux_applies(world, manifest)
    world.operator()
    await world.phase("backfill", "Completed")
    await world.until(lambda: world.run("backfill").status.replicas == 0)
    before = await read(world)
    await flux_applies(world, manifest)
    after = await read(world)
    assert after == before


async def flux_applies(world: World, manifest: dict[str, Any]) -> None:
    """Take over what kubectl has set, then apply what is in Git."""
    path = f"{world.runs}/{manifest['metadata']['name']}"
    status, live = await asyncio.to_thread(world.plane.request, "GET", path)
    if status == 200 and (fields := taken_over(live["metadata"]["managedFields"])) is not None:
        patch = [{"op": "replace", "path": "/metadata/managedFields", "value": fields}]
        kind = "application/json-patch+json"
        await asyncio.to_thread(world.plane.ask, "PATCH", f"{path}?fieldManager={OWNER}", patch, kind)
    query, kind = f"fieldManager={OWNER}&force=true", "application/apply-patch+yaml"
    await asyncio.to_thread(world.plane.ask, "PATCH", f"{path}?{query}", manifest, kind)


def taken_over(entries: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """``PatchReplaceFieldsManagers``: fields of kubectl become the owner's; None where there are none."""
    kept, theirs = [], []
    own: dict[str, Any] | None = None
    for entry in copy.deepcopy(entries):
        if entry["manager"] == OWNER and entry["operation"] == "Apply":
            own = entry
        elif entry["manager"].startswith("kubectl") and not entry.get("subresource"):
            theirs.append(entry)
        else:
            kept.append(entry)
    if not theirs or own is None:
        return None
    for entry in theirs:
        own["fieldsV1"] = union(own["fieldsV1"], entry["fieldsV1"])
    return [*kept, own]


def union(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {**one, **{name: union(one.get(name, {}), inner) for name, inner in other.items()}}


async def annotations(world: World) -> dict[str, str]:
    return dict((await read(world))["metadata"].get("annotations") or {})


async def read(world: World) -> dict[str, Any]:
    return await asyncio.to_thread(world.plane.get, f"{world.runs}/backfill")


@pytest.mark.parametrize("manager", ["kubectl", "kubectl-annotate", "kubectl-client-side-apply"])
def test_the_rule_goes_by_the_beginning_of_a_name(manager: str) -> None:
    own = {"manager": OWNER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:tasks": {}}}}
    entry = {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {"f:rate": {}}}}
    (merged,) = taken_over([entry, own]) or []
    assert merged["fieldsV1"] == {"f:spec": {"f:tasks": {}, "f:rate": {}}}
    assert taken_over([{**entry, "manager": "jobrun-pause"}, own]) is None
