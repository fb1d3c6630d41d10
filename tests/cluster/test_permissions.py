"""Runs with the permissions at the broker that the documentation lists: nothing is missing, nothing too much."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import nats.errors
import pytest

from cluster.world import World, job_run
from support.control_plane import ControlPlane
from support.nats_server import NatsServer

ROOT = Path(__file__).parents[2]
PASSWORDS = {"operator": "pOperator", "worker": "pWorker"}
SECRET = "nats-worker"  # noqa: S105  # its name

_ALLOWED = re.compile(r'^\s*"(.+)"$', re.MULTILINE)


def succeeded(world: World) -> int:
    tasks = world.run("backfill").status.tasks
    return tasks.succeeded if tasks is not None else 0


def documented() -> str:
    """The configuration of users that the documentation has."""
    (block,) = re.findall(r"```\n(.+?)```", (ROOT / "docs" / "nats-permissions.md").read_text(), re.DOTALL)
    for user, password in PASSWORDS.items():
        block = block.replace(f"${user.upper()}_PASSWORD", password)
    return str(block)


@pytest.fixture
async def guarded(control_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[World]:
    """As ``world``, with a broker that lets in who the documentation names."""
    server = NatsServer(tmp_path / "nats", extra=documented())
    async with server as broker, World.make(control_plane, broker, tmp_path) as world:
        data = {
            "username": base64.b64encode(b"worker").decode(),
            "password": base64.b64encode(PASSWORDS["worker"].encode()).decode(),
        }
        path = f"/api/v1/namespaces/{world.namespace}/secrets"
        control_plane.make(path, {"metadata": {"name": SECRET}, "data": data})
        yield world


async def test_whole_lives_of_runs(guarded: World) -> None:
    world = guarded
    world.operator(
        nats_user="operator",
        nats_password=PASSWORDS["operator"],
        worker_nats_secret=SECRET,
        relist_seconds="1",
        sweep_age_seconds="0",
    )
    await world.apply(
        job_run("paused", suspend=True, tasks={"count": 5}),
        job_run("fails", tasks={"count": 10}, worker={"python": "work:odd_fails"}, results={"retain": True}),
        job_run(
            "retries",
            tasks={"count": 3},
            worker={"python": "work:missing_key"},
            retry={"maxAttempts": 2, "initialDelaySeconds": 0},
        ),
        job_run("frees", tasks={"count": 5}, cleanupSecondsAfterFinished=0),
    )
    await world.phase("paused", "Suspended")
    await world.kubectl("patch", "jobrun", "paused", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    for name in ("paused", "fails", "retries", "frees"):
        await world.phase(name, "Completed")
    assert world.run("fails").status.tasks.failed == 5  # type: ignore[union-attr]
    assert world.run("retries").status.last_errors[0].attempt == 2
    (container,) = world.deployments()[0]["spec"]["template"]["spec"]["containers"]
    assert PASSWORDS["worker"] not in str(container)
    await world.kubectl("delete", "jobruns", "--all")
    await world.until(lambda: not world.deployments())
    assert [line for line in world.broker.log.splitlines() if "Violation" in line] == []


async def test_a_new_password_of_the_workers_is_taken_without_a_restart(guarded: World) -> None:
    world = guarded
    world.operator(nats_user="operator", nats_password=PASSWORDS["operator"], worker_nats_secret=SECRET)
    scaling = {"minReplicas": 1, "maxReplicas": 1}
    # A percent of so few tasks is told each second: the status is never far behind.
    await world.apply(job_run(tasks={"count": 2000}, rate={"tasks": 20, "periodSeconds": 1}, scaling=scaling))
    await world.until(lambda: world.run("backfill").status.ready_replicas)
    data = {"data": {"password": base64.b64encode(b"pRotated").decode()}}
    secret = f"/api/v1/namespaces/{world.namespace}/secrets/{SECRET}"
    world.plane.request("PATCH", secret, data, content_type="application/merge-patch+json")
    await world.broker.reload(documented().replace(PASSWORDS["worker"], "pRotated"))
    (log,) = (world.folder / "pods").glob("*.log")
    await world.until(lambda: "disconnected" in log.read_text())
    begun = succeeded(world)
    await world.until(lambda: succeeded(world) > begun + 60)
    assert [log] == list((world.folder / "pods").glob("*.log"))
    assert log.read_text().count("ready") == 1, "started once"


async def test_workers_can_not_do_what_is_the_operators(guarded: World) -> None:
    errors: list[Exception] = []

    async def heard(error: Exception) -> None:
        errors.append(error)

    client = await nats.connect(
        guarded.broker.url, user="worker", password=PASSWORDS["worker"], error_cb=heard, allow_reconnect=False
    )
    try:
        for subject in (
            "jobrun.work.some-uid",
            "jobrun.event.a.b.Completed",
            "$JS.API.STREAM.DELETE.jobrun_some-uid",
            "$JS.API.STREAM.LIST",
            "$JS.API.CONSUMER.PAUSE.jobrun_some-uid.workers",
            "$JS.API.STREAM.MSG.GET.jobrun_some-uid_out",
        ):
            with pytest.raises((nats.errors.Error, TimeoutError)):
                await client.request(subject, b"{}", timeout=0.2)
        await client.flush()
    finally:
        await client.close()
    await guarded.until(lambda: guarded.broker.log.count("Publish Violation") == 6)


def test_the_chart_says_the_same() -> None:
    chart = (ROOT / "helm" / "jobrun" / "templates" / "nats" / "_config.tpl").read_text()
    chart = chart.replace("{{ $prefix }}", "jobrun").split("user: client")[0]
    assert _ALLOWED.findall(documented()) == _ALLOWED.findall(chart)


async def test_a_password_that_is_wrong_is_said(guarded: World) -> None:
    """By /readyz, and by each run: on itself and as one Event; mended at the broker, nothing has to be restarted."""
    operator = guarded.operator(nats_user="operator", nats_password="pAnother")  # noqa: S106
    await guarded.apply(job_run(worker={"natsSecretName": SECRET}))
    told = await guarded.until(lambda: what_is_wrong(guarded))
    assert "Authorization Violation" in told
    assert "JOBRUN_NATS_USER" in told
    assert "pAnother" not in told
    assert operator.answer("/readyz") == (503, f"{told}\n")
    assert operator.answer("/healthz")[0] == 200
    assert guarded.run("backfill").status.phase == "Pending"
    await guarded.until(
        lambda: [one["reason"] for one in guarded.events("backfill")] == ["BrokerUnavailable"]
    )
    await guarded.broker.reload(documented().replace(PASSWORDS["operator"], "pAnother"))
    run = await guarded.phase("backfill", "Completed")
    assert (run.status.tasks and run.status.tasks.succeeded) == 20
    assert not what_is_wrong(guarded)
    assert await asyncio.to_thread(operator.stop) == 0


def what_is_wrong(world: World) -> str:
    """By the run."""
    ready = world.run("backfill").status.condition("Ready")
    return ready.message if ready is not None and ready.reason == "BrokerUnavailable" else ""
