"""``jobrun submit`` and ``jobrun results`` against a real API server and broker: a CSV in, results out."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import nats
import pytest

from cluster.world import World, job_run
from support.command_line import jobrun_soon, lines
from support.control_plane import ControlPlane
from support.nats_server import NatsServer
from support.process_marks import until


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def ids(world: World, number: int) -> Path:
    return written(world.folder / "ids.csv", "id\n" + "".join(f"{index}\n" for index in range(number)))


async def submit(
    world: World, manifest: dict[str, Any], data: Path, *options: str, token: str | None = None
) -> CompletedProcess[str]:
    config = world.plane.kubeconfig("person", token or world.plane.token, world.namespace)
    file = written(world.folder / "run.yaml", json.dumps(manifest))
    return await jobrun_soon(
        "submit", file, "--tasks", data, *options, KUBECONFIG=str(config), JOBRUN_NATS_URL=world.broker.url
    )


def of_csv(name: str = "backfill", **spec: Any) -> dict[str, Any]:
    return job_run(name, worker={"python": "work:slow"}, results={"retain": True}, **spec)


async def test_a_csv_in_and_results_out(world: World) -> None:
    world.operator()
    ended = await submit(world, of_csv(), ids(world, 40), "--wait")
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.splitlines()
    assert said[0] == "40 tasks as fast as the workers keep up"
    assert said[2] == f"jobrun {world.namespace}/backfill created"
    assert said[-1] == "Completed: all 40 tasks succeeded"
    results = await jobrun_soon("results", "backfill", "-n", world.namespace, "--nats-url", world.broker.url)
    assert [line["index"] for line in lines(results.stdout)] == list(range(40))


async def test_the_same_command_again_changes_nothing(world: World) -> None:
    data = ids(world, 3)
    first = await submit(world, of_csv(), data)
    assert first.returncode == 0, first.stderr
    stored = world.plane.get(f"{world.runs}/backfill")
    again = await submit(world, of_csv(), data)
    assert again.returncode == 0, again.stderr
    assert "(was there already)" in again.stdout
    assert f"jobrun {world.namespace}/backfill unchanged (Pending)" in again.stdout
    assert world.plane.get(f"{world.runs}/backfill") == stored
    (owner,) = stored["metadata"]["managedFields"]
    assert (owner["manager"], owner["operation"]) == ("jobrun-submit", "Apply")


async def test_an_edit_of_the_manifest_is_applied(world: World) -> None:
    data = ids(world, 3)
    await submit(world, of_csv(), data)
    ended = await submit(world, of_csv(rate={"tasks": 1, "periodSeconds": 1}), data)
    assert "updated (Pending)" in ended.stdout
    assert world.plane.get(f"{world.runs}/backfill")["spec"]["rate"] == {"tasks": 1, "periodSeconds": 1}


async def test_a_manifest_need_not_have_tasks(world: World) -> None:
    manifest = of_csv()
    del manifest["spec"]["tasks"]
    ended = await submit(world, manifest, ids(world, 3))
    assert ended.returncode == 0, ended.stderr
    stored = world.plane.get(f"{world.runs}/backfill")["spec"]["tasks"]
    assert stored["object"]["bucket"] == "tasks"
    assert f"data: tasks/{stored['object']['name']}" in ended.stdout


async def test_other_tasks_under_the_same_name_are_refused(world: World) -> None:
    await submit(world, of_csv(), ids(world, 3))
    ended = await submit(world, of_csv(), ids(world, 4))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "there is a run" in ended.stderr
    assert f"kubectl -n {world.namespace} delete jobrun backfill" in ended.stderr


async def test_what_others_have_set_since_is_not_undone(world: World) -> None:
    data = ids(world, 3)
    await submit(world, of_csv(maxWaiting=10), data)
    patch = {"spec": {"maxWaiting": 20}}
    path = f"{world.runs}/backfill?fieldManager=somebody"
    world.plane.request("PATCH", path, patch, content_type="application/merge-patch+json")
    ended = await submit(world, of_csv(maxWaiting=10), data)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ".spec.maxWaiting" in ended.stderr
    assert "Others have set these fields since" in ended.stderr


async def test_nothing_is_made_where_anything_is_wrong(world: World) -> None:
    bad = written(world.folder / "bad.csv", "id,name\n1,a\n2\n")
    line = await submit(world, of_csv(), bad)
    assert (line.returncode, line.stdout) == (2, "")
    assert "bad.csv line 3" in line.stderr
    elsewhere = await submit(world, of_csv(), ids(world, 3), "-n", "nowhere")
    assert (elsewhere.returncode, elsewhere.stdout) == (2, "")
    assert "there is no namespace nowhere" in elsewhere.stderr
    forbidden = await submit(world, of_csv(), ids(world, 3), token=world.token)
    assert (forbidden.returncode, forbidden.stdout) == (3, "")
    assert "does not allow this" in forbidden.stderr
    assert world.plane.get(world.runs)["items"] == []
    assert not await _buckets(world)


async def test_a_cluster_without_the_definition_is_told(api_server: ControlPlane, tmp_path: Path) -> None:
    until(
        lambda: api_server.request("GET", "/apis/jobrun.dev/v1alpha1")[0] == 404, lambda: "no definition", 30
    )
    config = api_server.kubeconfig("person", api_server.token)
    file = written(tmp_path / "run.yaml", json.dumps(of_csv()))
    data = written(tmp_path / "ids.csv", "id\n1\n")
    async with NatsServer(tmp_path / "nats") as broker:
        options = ("--kubeconfig", config, "--nats-url", broker.url)
        ended = await jobrun_soon("submit", file, "--tasks", data, *options)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "the cluster does not know JobRuns" in ended.stderr


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/apply-patch+yaml"])
async def test_what_the_operator_writes_is_no_drift(world: World, content_type: str) -> None:
    """As GitOps tools compare: what they applied, applied again on trial, changes nothing but the times of fields."""
    manifest = of_csv()
    query = "dryRun=All&fieldManager=gitops"
    world.plane.request(
        "PATCH",
        f"{world.runs}/backfill?fieldManager=gitops",
        manifest,
        content_type="application/apply-patch+yaml",
    )
    world.operator()
    await world.until(lambda: world.run("backfill").status.phase, "the operator has written a status")
    live = world.plane.get(f"{world.runs}/backfill")
    _, again = world.plane.request(
        "PATCH", f"{world.runs}/backfill?{query}", manifest, content_type=content_type
    )
    for item in (live, again):
        del item["status"], item["metadata"]["managedFields"], item["metadata"]["resourceVersion"]
    assert again == live
    assert set(live["metadata"]) == {"creationTimestamp", "generation", "name", "namespace", "uid"}


async def _buckets(world: World) -> list[str]:
    client = await nats.connect(world.broker.url)
    try:
        return [info.config.name or "" for info in await client.jetstream().streams_info()]
    finally:
        await client.close()
