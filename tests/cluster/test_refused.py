"""What is wrong with a run and no schema could say: Failed or Pending with the reason, once, never in a hot loop."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cluster.test_deleted import until_streams
from cluster.world import World, job_run
from jobrun_operator.kubernetes.api import MERGE
from support.operator_process import OperatorProcess

DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobruns.jobrun.dev"


BAD_DATA = {
    "json": ('{"a": 1}\n{"a": \n', "ids.jsonl", "line 2"),
    "empty": ("", "ids.jsonl", "no task"),
    "header": ("a,a\n1,2\n", "ids.csv", "header"),
}


async def test_data_that_can_not_be_used(world: World) -> None:
    world.operator()
    for name, (data, key, _) in BAD_DATA.items():
        body = {"metadata": {"name": name}, "data": {key: data}}
        world.plane.make(f"/api/v1/namespaces/{world.namespace}/configmaps", body)
    await world.apply(
        *(
            job_run(name, tasks={"configMap": {"name": name, "key": key}})
            for name, (_, key, _) in BAD_DATA.items()
        )
    )
    for name, (_, _, says) in BAD_DATA.items():
        run = await world.phase(name, "Failed")
        failed = run.status.condition("Failed")
        assert failed is not None
        assert failed.reason == "InvalidSource"
        assert says in failed.message.lower(), failed.message
        assert world.deployments() == []


async def test_a_config_map_that_is_not_there_yet_and_one_that_changes(world: World) -> None:
    operator = world.operator()
    await world.apply(
        job_run(
            tasks={"configMap": {"name": "ids", "key": "ids.jsonl"}},
            rate={"tasks": 1, "periodSeconds": 1},
            worker={"python": "work:slow"},
        )
    )
    path = f"/api/v1/namespaces/{world.namespace}/configmaps"

    def waits() -> bool:
        ready = world.run("backfill").status.condition("Ready")
        return ready is not None and ready.reason == "SourceUnavailable" and "ids" in ready.message

    await world.until(waits)
    assert world.run("backfill").status.phase == "Pending"
    await world.until(lambda: [one["reason"] for one in world.events("backfill")] == ["SourceUnavailable"])
    world.plane.make(path, {"metadata": {"name": "ids"}, "data": {"ids.jsonl": '{"a": 1}\n' * 50}})
    await world.phase("backfill", "Running")
    # It is read again where it has to be: by an operator that starts anew.
    await asyncio.to_thread(operator.stop)
    changed = {"data": {"ids.jsonl": '{"a": 2}\n' * 50}}
    world.plane.request("PATCH", f"{path}/ids", changed, content_type="application/merge-patch+json")
    operator.start()
    run = await world.phase("backfill", "Failed")
    assert run.status.condition("Failed").reason == "SourceChanged"  # type: ignore[union-attr]


async def test_workers_that_can_not_start(world: World) -> None:
    """A Secret that is missing is waited for; a pod that the cluster refuses is told; a template that it can't read
    ends the run."""
    world.operator()
    bad = {"spec": {"containers": [{"name": "worker", "resources": {"limits": {"memory": "lots"}}}]}}
    root = {"spec": {"securityContext": {"runAsUser": 0, "runAsNonRoot": False}}}
    await world.apply(
        job_run("secret", worker={"natsSecretName": "missing"}),
        job_run("root", worker={"template": root}),
        job_run("bad", worker={"template": bad}),
    )

    def why(name: str) -> str:
        ready = world.run(name).status.condition("Ready")
        return "" if ready is None else f"{ready.status}: {ready.reason}: {ready.message}"

    await world.until(lambda: "PodSecurity" in why("root"))
    await world.until(lambda: "missing" in why("secret"))
    assert why("root").startswith("False: WorkersFailed")
    assert why("secret").startswith("False: ")
    run = await world.phase("bad", "Failed")
    assert run.status.condition("Failed").reason == "WorkersFailed"  # type: ignore[union-attr]
    assert "quantities" in run.status.condition("Failed").message  # type: ignore[union-attr]


async def test_a_handler_that_can_not_be_imported_is_one_trouble_however_often_its_worker_is_restarted(
    world: World,
) -> None:
    world.operator()
    await world.apply(job_run(worker={"python": "nowhere:to_be_found"}))
    path = f"/api/v1/namespaces/{world.namespace}/pods"

    def restarted(times: int) -> bool:
        statuses = [one["status"].get("containerStatuses") or [] for one in world.plane.get(path)["items"]]
        return any(container["restartCount"] >= times for of_pod in statuses for container in of_pod)

    await world.until(lambda: restarted(3) and unready(world, "backfill"))
    before = unready(world, "backfill")
    assert before is not None
    assert before["reason"] == "WorkersFailed"
    assert "(last exit code 2)" in before["message"]
    await world.until(lambda: restarted(8))
    after = unready(world, "backfill")
    assert after is not None
    assert after["lastTransitionTime"] == before["lastTransitionTime"]
    wide = (await world.kubectl("get", "jobruns", "-o", "wide")).stdout
    assert "WorkersFailed" in wide
    assert "WorkersFailed" not in (await world.kubectl("get", "jobruns")).stdout


async def test_a_policy_that_denies_more_workers_is_waited_for(world: World) -> None:
    """The run goes on with those that it has, says so, and gets the others when the policy is gone."""
    world.operator()
    await world.apply(job_run(tasks={"count": 9999}, rate={"tasks": 20, "periodSeconds": 1}))
    await world.until(lambda: world.kubelet.processes > 0)
    async with policy(world, "object.spec.replicas <= 1"):
        await world.patch("backfill", {"spec": {"scaling": {"minReplicas": 2}}})
        condition = await world.until(lambda: unready(world, "backfill"))
        assert condition["reason"] == "WorkersFailed"
        assert "ValidatingAdmissionPolicy" in condition["message"]
        released = world.run("backfill").status.tasks.released  # type: ignore[union-attr]
        await world.until(lambda: world.run("backfill").status.tasks.released > released + 100)  # type: ignore[union-attr]
        await world.until(lambda: "WorkersFailed" in [one["reason"] for one in world.events("backfill")])
        assert world.run("backfill").status.phase == "Running"
    await world.until(lambda: world.deployments()[0]["spec"]["replicas"] == 2)
    await world.until(lambda: unready(world, "backfill") is None)


@asynccontextmanager
async def policy(world: World, allows: str) -> AsyncIterator[None]:
    """Deployments of this namespace are denied but where ``allows`` (CEL) holds."""
    name = f"freeze-{world.namespace}"
    what = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments"],
    }
    here = {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}
    admission = "/apis/admissionregistration.k8s.io/v1"
    policies, bindings = (
        f"{admission}/validatingadmissionpolicies",
        f"{admission}/validatingadmissionpolicybindings",
    )
    rules = {"matchConstraints": {"resourceRules": [what]}, "validations": [{"expression": allows}]}
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": here},
    }
    world.plane.make(policies, {"metadata": {"name": name}, "spec": rules})
    world.plane.make(bindings, {"metadata": {"name": name}, "spec": binding})
    path = f"/apis/apps/v1/namespaces/{world.namespace}/deployments"
    probe = f"{path}/{world.deployments()[0]['metadata']['name']}?dryRun=All"

    def denies() -> bool:
        many = {"spec": {"replicas": 99}}
        return world.plane.request("PATCH", probe, many, content_type=MERGE)[0] == 422

    try:
        await world.until(denies)
        yield
    finally:
        world.plane.request("DELETE", f"{bindings}/{name}")
        world.plane.request("DELETE", f"{policies}/{name}")


def unready(world: World, name: str) -> dict[str, Any] | None:
    """The condition that says so."""
    conditions = world.plane.get(f"{world.runs}/{name}")["status"]["conditions"]
    return next((one for one in conditions if one["type"] == "Ready" and one["status"] == "False"), None)


@pytest.fixture
async def lax_definition(world: World) -> AsyncIterator[None]:
    """As an older CRD would be: neither spec nor the name is checked."""
    stored = world.plane.get(DEFINITION)
    lax = copy.deepcopy(stored)
    schema = lax["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema["properties"]["metadata"] = {"type": "object"}
    schema.pop("x-kubernetes-validations", None)
    await replace(world, lax)
    await world.until(lambda: dry_run(world) == 201)
    yield
    await replace(world, stored)
    await world.until(lambda: dry_run(world) == 422)


async def replace(world: World, definition: dict[str, Any]) -> None:
    definition = copy.deepcopy(definition)
    definition["metadata"] = {
        "name": definition["metadata"]["name"],
        "resourceVersion": world.plane.get(DEFINITION)["metadata"]["resourceVersion"],
    }
    status, answer = world.plane.request("PUT", DEFINITION, definition)
    assert status == 200, answer


def dry_run(world: World) -> int:
    wrong = job_run("wrong", tasks={"count": 0})
    return world.plane.request("POST", f"{world.runs}?dryRun=All", wrong)[0]


@pytest.mark.usefixtures("lax_definition")
async def test_a_spec_that_is_not_acceptable(world: World) -> None:
    operator = world.operator()
    wrong = {
        "count": (job_run("count", tasks={"count": 0}), "spec.tasks.count"),
        "unknown": (job_run("unknown", surprise=1), "spec.surprise"),
        "none": ({**job_run("none"), "spec": {}}, "spec.tasks"),
        "text": (job_run("text", rate="fast"), "spec.rate"),
        "null": (job_run("null", tasks={"items": [None]}), "spec.tasks.items"),
        "name" * 14: (job_run("name" * 14), "metadata.name"),
    }
    await world.apply(*(manifest for manifest, _ in wrong.values()))
    versions = {}
    for name, (_, says) in wrong.items():
        stored = await world.until(lambda name=name: failed(world, name))
        condition = next(one for one in stored["status"]["conditions"] if one["type"] == "Failed")
        assert (condition["reason"], condition["status"]) == ("InvalidSpec", "True")
        assert says in condition["message"]
        versions[name] = stored["metadata"]["resourceVersion"]
    await world.kubectl("wait", "--for=condition=Failed", "jobrun", "--all", "--timeout=5s")
    await world.until(
        lambda: (
            [(one["reason"], one["type"]) for one in world.events("count")] == [("InvalidSpec", "Warning")]
        )
    )
    # Neither a look, a list nor a restart writes it again.
    await asyncio.to_thread(operator.stop)
    operator.start()
    await world.apply(job_run("fine", tasks={"count": 3}))
    await world.phase("fine", "Completed")
    assert {
        name: world.plane.get(f"{world.runs}/{name}")["metadata"]["resourceVersion"] for name in wrong
    } == versions
    assert refusals(operator) < 3 * len(wrong)


@pytest.mark.usefixtures("lax_definition")
async def test_an_edit_that_is_not_acceptable_ends_the_run(world: World) -> None:
    world.operator()
    await world.apply(job_run(tasks={"count": 9999}, rate={"tasks": 20, "periodSeconds": 1}))
    await world.phase("backfill", "Running")
    await world.until(lambda: world.kubelet.processes > 0)
    await world.apply(job_run(tasks={"count": 9999}, rate={"tasks": -20, "periodSeconds": 1}))
    stored = await world.until(lambda: failed(world, "backfill"))
    condition = next(one for one in stored["status"]["conditions"] if one["type"] == "Failed")
    assert condition["reason"] == "InvalidSpec"
    assert world.kubelet.processes == 0


@pytest.mark.usefixtures("lax_definition")
async def test_one_that_is_not_acceptable_since_a_restart_is_ended_and_freed(world: World) -> None:
    operator = world.operator(relist_seconds="1")  # it also looks so often for what is due
    fields = {"tasks": {"count": 9999}, "cleanupSecondsAfterFinished": 1}
    rate = {"tasks": 20, "periodSeconds": 1}
    await world.apply(
        job_run("kept", rate=rate, **fields),
        job_run("deleted", rate=rate, **fields, ttlSecondsAfterFinished=2),
        job_run("complete", cleanupSecondsAfterFinished=1000),
    )
    await world.phase("complete", "Completed")
    await world.until(lambda: all(world.run(name).status.ready_replicas for name in ("kept", "deleted")))
    await asyncio.to_thread(operator.stop)
    for name in ("kept", "deleted", "complete"):
        await world.patch(name, {"spec": {"rate": {"tasks": -20, "periodSeconds": 1}}})
    await world.patch("complete", {"spec": {"cleanupSecondsAfterFinished": 0}})
    assert world.kubelet.processes >= 2
    operator.start()
    stored = await world.until(lambda: failed(world, "kept"))
    condition = next(one for one in stored["status"]["conditions"] if one["type"] == "Failed")
    assert condition["reason"] == "InvalidSpec"
    assert "spec.rate.tasks" in condition["message"]
    await world.until(lambda: over(world, "deleted"))
    assert world.kubelet.processes == 0
    await world.until(lambda: world.plane.get(f"{world.runs}/kept")["status"]["replicas"] == 0)
    await world.until(lambda: world.plane.request("GET", f"{world.runs}/deleted")[0] == 404)
    await until_streams(world, set())
    await world.until(lambda: not world.deployments())
    assert world.plane.get(f"{world.runs}/complete")["status"]["phase"] == "Completed"


def failed(world: World, name: str) -> dict[str, Any] | None:
    stored = world.plane.get(f"{world.runs}/{name}")
    return stored if (stored.get("status") or {}).get("phase") == "Failed" else None


def over(world: World, name: str) -> bool:
    """Failed, or deleted since."""
    return world.plane.request("GET", f"{world.runs}/{name}")[0] == 404 or failed(world, name) is not None


def refusals(operator: OperatorProcess) -> float:
    """Requests that the API server has refused or that were late."""
    return sum(
        value
        for (name, labels), value in operator.samples().items()
        if name == "jobrun_api_request_seconds_count" and dict(labels)["code"] in ("400", "409", "422")
    )
