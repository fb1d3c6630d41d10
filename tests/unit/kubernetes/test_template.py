"""The Deployment of a run's workers: what is merged, what wins, and when workers are replaced."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from jobrun_operator.api import JobRun
from jobrun_operator.kubernetes import template
from jobrun_operator.kubernetes.template import WorkerPlace, deployment, deployment_name, inputs_digest
from jobrun_worker.settings import WorkerSettings
from support.manifests import FULL, manifest, worker

UID = "5f1c2d3e-0000-4000-8000-1234567890ab"
PLACE = WorkerPlace("nats://nats:4222")
Object = dict[str, Any]
TMP = "/tmp"  # noqa: S108  # of the container


def run(spec: Object | None = None, name: str = "backfill") -> JobRun:
    wire = copy.deepcopy(spec or manifest())
    wire["metadata"] = {"name": name, "namespace": "shop", "uid": UID}
    return JobRun.from_wire(wire)


def pod(made: Object) -> Object:
    found: Object = made["spec"]["template"]["spec"]
    return found


def container(made: Object) -> Object:
    found: Object = next(one for one in pod(made)["containers"] if one["name"] == "worker")
    return found


def environment(made: Object) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container(made)["env"]}


def test_meets_the_restricted_standard_by_itself() -> None:
    made = deployment(run(), PLACE, ())
    assert pod(made)["automountServiceAccountToken"] is False
    assert pod(made)["securityContext"]["runAsNonRoot"] is True
    assert pod(made)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(made)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"name": "jobrun-tmp", "mountPath": TMP} in container(made)["volumeMounts"]


def test_the_worker_can_read_its_environment() -> None:
    made = deployment(run(FULL), PLACE, ("nats.creds", "ca.crt"))
    plain = {name: value for name, value in environment(made).items() if isinstance(value, str)}
    settings = WorkerSettings.from_env(plain)
    assert (settings.uid, settings.run, settings.namespace) == (UID, "backfill", "shop")
    assert settings.nats_credentials == f"{template.CREDENTIALS_PATH}/nats.creds"
    assert settings.nats_tls_ca == f"{template.CREDENTIALS_PATH}/ca.crt"
    assert settings.concurrency == 4
    assert settings.port == template.PORT
    assert pod(made)["terminationGracePeriodSeconds"] > settings.grace_seconds > 30


def test_a_worker_that_is_away_from_its_broker_is_not_ready_and_not_restarted() -> None:
    made = container(deployment(run(), PLACE, ()))
    ports = {one["name"]: one["containerPort"] for one in made["ports"]}
    asked = {name: made[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    paths = {name: one["path"] for name, one in asked.items()}
    assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    assert {ports[one["port"]] for one in asked.values()} == {template.PORT}


def test_who_owns_it_and_what_it_is_found_by() -> None:
    wire = manifest()
    wire["metadata"]["labels"] = {"argocd.argoproj.io/instance": "shop"}
    made = deployment(run(wire), PLACE, ())
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("JobRun", UID, True)
    assert made["spec"]["selector"] == {"matchLabels": {template.UID_LABEL: UID}}
    assert made["spec"]["template"]["metadata"]["labels"][template.UID_LABEL] == UID
    assert "argocd.argoproj.io/instance" not in made["metadata"]["labels"]
    assert "replicas" not in made["spec"]


@pytest.mark.parametrize("name", ["a", "a" * 52, "a" * 36 + "-" + "b" * 15])
def test_names_fit_host_names(name: str) -> None:
    made = deployment_name(run(name=name))
    assert len(made) + len("-6c5f8d7b9c-x2x4z") <= 63
    assert made.endswith("-5f1c2d3e")
    assert "--" not in made


def test_a_template_is_merged() -> None:
    made = deployment(run(FULL), PLACE, ("nats.creds",))
    assert pod(made)["serviceAccountName"] == "push"
    assert made["spec"]["template"]["metadata"]["labels"]["team"] == "catalogue"
    assert [one["name"] for one in pod(made)["containers"]] == ["worker", "proxy"]
    assert container(made)["resources"] == {"limits": {"memory": "1Gi"}}
    assert container(made)["image"] == "registry.example/push:1"
    assert environment(made)["LEVEL"] == "info"
    assert pod(made)["volumes"][0] == {"name": "jobrun-nats", "secret": {"secretName": "nats-workers"}}


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        ({"securityContext": {"runAsUser": 1}}, ("securityContext", "runAsUser"), 1),
        ({"securityContext": {"runAsUser": 1}}, ("securityContext", "runAsNonRoot"), True),
        ({"terminationGracePeriodSeconds": 9000}, ("terminationGracePeriodSeconds",), 9000),
        ({"automountServiceAccountToken": True}, ("automountServiceAccountToken",), True),
        ({"nodeSelector": {"pool": "batch"}}, ("nodeSelector",), {"pool": "batch"}),
    ],
)
def test_what_a_template_says_about_pods(given: Object, path: tuple[str, ...], expected: object) -> None:
    found: Any = pod(deployment(run(worker(template={"spec": given})), PLACE, ()))
    for step in path:
        found = found[step]
    assert found == expected


def test_a_mount_of_its_own_on_tmp() -> None:
    mount = {"name": "big", "mountPath": TMP}
    spec = {
        "volumes": [{"name": "big", "emptyDir": {}}],
        "containers": [{"name": "worker", "volumeMounts": [mount]}],
    }
    made = deployment(run(worker(template={"spec": spec})), PLACE, ())
    assert container(made)["volumeMounts"] == [mount]
    assert [one["name"] for one in pod(made)["volumes"]] == ["big"]


def test_a_login_is_read_from_the_mounted_secret() -> None:
    """And again at each connection, which the environment could not be."""
    place = WorkerPlace("nats://nats:4222", nats_secret="login")  # noqa: S106
    made = deployment(run(), place, ("username", "password"))
    assert environment(made)["JOBRUN_NATS_USER_FILE"] == f"{template.CREDENTIALS_PATH}/username"
    assert environment(made)["JOBRUN_NATS_PASSWORD_FILE"] == f"{template.CREDENTIALS_PATH}/password"
    (volume,) = (one for one in pod(made)["volumes"] if "secret" in one)
    assert volume["secret"] == {"secretName": "login"}
    with_creds = deployment(run(), place, ("username", "password", "nats.creds"))
    assert "JOBRUN_NATS_PASSWORD_FILE" not in environment(with_creds)
    assert "JOBRUN_NATS_CREDENTIALS" in environment(with_creds)


REPLACES: dict[str, Object] = {
    "image": worker(image="registry.example/push:2"),
    "handler": worker(python="push:other"),
    "concurrency": worker(concurrency=2),
    "time limit": worker(taskTimeoutSeconds=5),
    "template": worker(template={"metadata": {"labels": {"a": "b"}}}),
    "credentials": worker(natsSecretName="mine"),
    "retry": manifest(retry={"maxAttempts": 2}),
    "results": manifest(results={"retain": True}),
}
KEEPS: dict[str, Object] = {
    "rate": manifest(rate={"tasks": 1, "periodSeconds": 1}),
    "scaling": manifest(scaling={"maxReplicas": 99}),
    "suspension": manifest(suspend=True),
    "defaults that are spelled out": worker(concurrency=16),
}


@pytest.mark.parametrize("name", [*REPLACES, *KEEPS])
def test_when_workers_are_replaced(name: str) -> None:
    changed = run(REPLACES.get(name) or KEEPS[name])
    assert (inputs_digest(changed, PLACE) != inputs_digest(run(), PLACE)) is (name in REPLACES)


def test_a_change_of_inputs_is_what_changes_a_pod() -> None:
    """What leaves the digest as it is leaves the pod template as it is, too."""
    for wire in KEEPS.values():
        assert deployment(run(wire), PLACE, ())["spec"] == deployment(run(), PLACE, ())["spec"]
