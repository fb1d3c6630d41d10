"""What the chart renders, for sets of values that use all of its branches: well-formed, restricted, as documented."""

from __future__ import annotations

import base64
import re
from dataclasses import fields
from typing import Any

import pytest
import yaml

from jobrun_operator.api import JobRun
from jobrun_operator.kubernetes import template
from jobrun_operator.settings import OperatorSettings
from support.chart import CHART, DIGEST, VALUES, Object, Rendered, Values, identity

KUBERNETES = "1.36"
"""The version whose schemas the objects are held to."""

EVERY_SET = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())


@EVERY_SET
def test_lint(chart: Any, values: Values) -> None:
    helm = pytest.importorskip("helm_python")
    report = helm.lint(CHART, values, strict=True, kube_version=f"v{KUBERNETES}.0")
    assert report["errors"] == []
    assert {message["error"] for message in report["messages"]} <= {"icon is recommended"}


@EVERY_SET
def test_objects_are_valid(render: Any, values: Values) -> None:
    validator = pytest.importorskip(
        "kubernetes_validate", reason="no schemas: pip install kubernetes-validate"
    )
    for item in render(values):
        assert validator.validate(item, KUBERNETES, strict=True) == KUBERNETES, identity(item)


@EVERY_SET
def test_identities_and_labels(render: Any, values: Values) -> None:
    rendered = render(values)
    identities = [identity(item) for item in rendered]
    assert len(identities) == len(set(identities))
    for item in rendered:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "jobrun"
        assert labels["app.kubernetes.io/instance"] == "jobrun"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["helm.sh/chart"].startswith("jobrun-")
        assert values.get("commonLabels", {}).items() <= labels.items()
        cluster_scoped = item["kind"] in ("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition")
        assert ("namespace" in item["metadata"]) is not cluster_scoped


@EVERY_SET
def test_selectors_find_the_pods_that_they_mean(render: Any, values: Values) -> None:
    rendered = render(values)
    pods = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["metadata"]["labels"]
        for pod in rendered.pods()
    }
    for item in rendered:
        selector = {
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
            "StatefulSet": lambda spec: spec["selector"]["matchLabels"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
            "Service": lambda spec: spec["selector"],
        }.get(item["kind"])
        if selector is None:
            continue
        wanted = selector(item["spec"])
        component = item["metadata"]["labels"]["app.kubernetes.io/component"]
        assert [name for name, labels in pods.items() if wanted.items() <= labels.items()] == [component]


@EVERY_SET
def test_pods_meet_the_standard_restricted(render: Any, values: Values) -> None:
    """Source: Kubernetes, "Pod Security Standards", each control of the policy Restricted that is not implied."""
    for pod in render(values).pods():
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        volumes = {key for volume in spec["volumes"] for key in volume.keys() - {"name"}}
        assert volumes <= {"configMap", "secret", "emptyDir", "projected", "downwardAPI"}
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["securityContext"].get("runAsUser") != 0
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert all("hostPort" not in port for port in container["ports"])
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
            assert container["resources"]["limits"].keys() == {"memory"}


def test_the_broker_knows_what_memory_it_has(render: Any) -> None:
    values = {"nats": {"goMemoryLimit": "1843MiB", "resources": {"limits": {"memory": "2Gi"}}}}
    stateful = render(values).one("StatefulSet", "jobrun-nats")
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    assert {"name": "GOMEMLIMIT", "value": "1843MiB"} in container["env"]
    assert container["resources"]["limits"]["memory"] == "2Gi"


def test_one_operator_at_a_time(render: Any) -> None:
    spec = render().one("Deployment", "jobrun")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["template"]["spec"]["automountServiceAccountToken"] is True
    (container,) = spec["template"]["spec"]["containers"]
    asked = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")
    }
    # A broker that is away makes it not ready; a restart would not bring that back.
    assert asked == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    (port,) = container["ports"]
    assert port["containerPort"] == settings_of(render()).port


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            VALUES["defaults"],
            {
                "nats_url": "nats://jobrun-nats.jobrun.svc:4222",
                "nats_user": "operator",
                "nats_password": "<jobrun-nats-auth/operator-password>",
                "worker_nats_secret": "jobrun-nats-worker",
            },
        ),
        (VALUES["watched namespaces"], {"watch_namespaces": ("team-a", "team-b")}),
        (
            VALUES["own broker, password"],
            {
                "nats_url": "nats://one:4222,nats://two:4222",
                "nats_user": "<operator-login/username>",
                "nats_password": "<operator-login/password>",
                "nats_credentials": "",
                "worker_nats_secret": "worker-login",
                "stream_replicas": 3,
            },
        ),
        (
            VALUES["own broker, credentials file"],
            {
                "nats_user": "",
                "nats_credentials": "/etc/jobrun/nats/nats.creds",
                "nats_tls_ca": "/etc/jobrun/nats/ca.crt",
                "worker_nats_url": "tls://other.example:4222",
                "worker_nats_secret": "",
            },
        ),
        (
            VALUES["own broker, certificate"],
            {
                "nats_user": "",
                "nats_password": "",
                "nats_tls_ca": "/etc/jobrun/nats/ca.crt",
                "nats_tls_cert": "/etc/jobrun/nats/tls.crt",
                "nats_tls_key": "/etc/jobrun/nats/tls.key",
            },
        ),
        (VALUES["own broker, no login"], {"nats_user": "", "nats_password": "", "worker_nats_secret": ""}),
        (VALUES["own passwords"], {"nats_password": "<from-the-vault/operator-password>"}),
        (
            VALUES["TLS"],
            {
                "nats_url": "tls://jobrun-nats.jobrun.svc:4222",
                "nats_tls_ca": "/etc/jobrun/nats-ca/ca.crt",
            },
        ),
        ({"settings": {"workMaxBytes": 1 << 40, "intervalSeconds": 0.25}}, {"work_max_bytes": 1 << 40}),
        ({"settings": {"logLevel": "debug", "prefix": "x-1"}}, {"log_level": "debug", "prefix": "x-1"}),
    ],
)
def test_the_operator_understands_its_environment(
    render: Any, values: Values, expected: dict[str, Any]
) -> None:
    settings = settings_of(render(values))
    assert {name: getattr(settings, name) for name in expected} == expected
    assert settings.release == "jobrun/jobrun"


def test_every_setting_of_the_operator_can_be_set(render: Any) -> None:
    known = {f"JOBRUN_{field.name.upper()}" for field in fields(OperatorSettings)}
    told = {variable for values in VALUES.values() for variable in environment(render(values))}
    assert {name for name in told if name.startswith("JOBRUN_")} == known


def test_defaults_are_the_operators_own(render: Any) -> None:
    chart, code = settings_of(render()), OperatorSettings()
    differing = {
        field.name for field in fields(code) if getattr(chart, field.name) != getattr(code, field.name)
    }
    assert differing == {"nats_url", "nats_user", "nats_password", "worker_nats_secret", "release"}


@EVERY_SET
def test_what_is_mounted_is_where_the_settings_say(render: Any, values: Values) -> None:
    rendered = render(values)
    settings = settings_of(rendered)
    (pod,) = [pod for pod in rendered.pods() if pod["spec"]["containers"][0]["name"] == "operator"]
    mounts = {mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert "/tmp" in mounts  # noqa: S108  # of the container
    paths = (
        settings.nats_credentials,
        settings.nats_tls_ca,
        settings.nats_tls_cert,
        settings.nats_tls_key,
    )
    files = {path for path in paths if path}
    assert {path.rpartition("/")[0] for path in files} == mounts - {"/tmp"}  # noqa: S108


def test_workers_find_their_login(render: Any) -> None:
    rendered = render({"watchNamespaces": ["a", "b"], "nats": {"workerSecret": {"namespaces": ["c", "b"]}}})
    name = settings_of(rendered).worker_nats_secret
    found = {ns: rendered.one("Secret", name, ns) for ns in ("jobrun", "a", "b", "c")}
    auth = rendered.one("Secret", "jobrun-nats-auth")
    assert len([item for item in rendered if item["kind"] == "Secret"]) == len(found) + 1
    for secret in found.values():
        assert secret["data"].keys() == {template.USER_KEY, template.PASSWORD_KEY}
        assert base64.b64decode(secret["data"][template.USER_KEY]) == b"worker"
        assert secret["data"][template.PASSWORD_KEY] == auth["data"]["worker-password"]
    with_ca = render(VALUES["TLS"]).one("Secret", name)
    assert with_ca["data"].keys() == {template.USER_KEY, template.PASSWORD_KEY, template.CA_KEY}


def test_passwords_are_long_random_and_each_its_own(render: Any) -> None:
    first, second = (render().one("Secret", "jobrun-nats-auth")["data"] for _ in range(2))
    passwords = [base64.b64decode(text).decode() for data in (first, second) for text in data.values()]
    assert len(set(passwords)) == 6
    assert all(re.fullmatch("[A-Za-z][A-Za-z0-9]{40}", password) for password in passwords)


def test_own_passwords_and_own_brokers_need_no_secret_of_the_chart(render: Any) -> None:
    for name in ("own passwords", "own broker, password", "own broker, no login"):
        assert "Secret" not in render(VALUES[name]).kinds()
    assert {"StatefulSet", "ConfigMap"} & render(VALUES["own broker, password"]).kinds() == set()


def test_images(render: Any) -> None:
    assert [image(pod) for pod in render().pods()] == ["nats:2.15.1-alpine", "ghcr.io/jobrun/operator:0.1.0"]
    exact = render(
        {"image": {"tag": "x", "digest": DIGEST}, "nats": {"image": {"repository": "mirror/nats"}}}
    )
    assert [image(pod) for pod in exact.pods()] == [
        "mirror/nats:2.15.1-alpine",
        f"ghcr.io/jobrun/operator:x@{DIGEST}",
    ]
    untagged = render({"nats": {"image": {"tag": "", "digest": DIGEST}}})
    assert image(untagged.pods()[0]) == f"nats@{DIGEST}"


def image(pod: Object) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def test_names_stay_within_what_the_api_takes(render: Any) -> None:
    for values in ({}, {"fullnameOverride": "x" * 47}, {"nameOverride": "y" * 63}):
        for item in render(values, name="r" * 53):
            # Of a StatefulSet's name and a hash of 10 the label controller-revision-hash is made.
            most = {"StatefulSet": 52}.get(item["kind"], 63 if "namespace" in item["metadata"] else 253)
            assert len(item["metadata"]["name"]) <= most, identity(item)
    assert render({"fullnameOverride": "other"}).one("Deployment", "other")
    assert render(name="second").one("Deployment", "second-jobrun")


def test_disruption_budgets_and_network_policies(chart: Any, render: Any) -> None:
    rendered = render(VALUES["everything on"])
    budgets = {
        item["metadata"]["name"]: item["spec"]["maxUnavailable"]
        for item in rendered
        if item["kind"] == "PodDisruptionBudget"
    }
    assert budgets == {"jobrun": 0, "jobrun-nats": 1}
    (rule,) = rendered.one("NetworkPolicy", "jobrun-nats")["spec"]["ingress"]
    operator, workers = rule["from"]
    assert operator["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "operator"
    assert workers["namespaceSelector"] == {}
    run = JobRun.from_wire(hello(chart))
    labels = template.deployment(run, template.WorkerPlace("nats://x"), ())["metadata"]["labels"]
    assert workers["podSelector"]["matchLabels"].items() <= labels.items()


@EVERY_SET
def test_notes(chart: Any, values: Values) -> None:
    notes = notes_of(chart, values)
    assert "kubectl -n jobrun rollout status deployment/jobrun" in notes
    assert ("JOBRUN_NATS_USER=client" in notes) is values.get("nats", {}).get("enabled", True)
    assert ("WARNING" in notes) is (values in (VALUES["no volume"], VALUES["everything on"]))


def test_notes_show_a_run_that_is_accepted(chart: Any) -> None:
    run = JobRun.from_wire(hello(chart))
    assert run.spec.worker.image == f"ghcr.io/jobrun/worker:{chart.metadata['appVersion']}"


@pytest.mark.parametrize(
    ("repository", "workers"),
    [
        ("registry.example/jobrun-operator", "registry.example/jobrun-worker:1"),
        ("r.example/operators/operator", "r.example/operators/worker:1"),
        ("r.example/operator/jobrun", "YOUR-WORKER-IMAGE"),
    ],
)
def test_notes_name_the_image_of_workers_where_it_can_be_told(
    chart: Any, repository: str, workers: str
) -> None:
    values = {"image": {"repository": repository, "tag": "1", "digest": DIGEST}}
    assert hello(chart, values)["spec"]["worker"]["image"] == workers


def test_notes_reach_the_broker_by_a_name_of_its_certificate(chart: Any) -> None:
    notes = notes_of(chart, VALUES["TLS"])
    assert "nats://" not in notes
    assert 'echo "127.0.0.1 jobrun-nats.jobrun.svc" | sudo tee -a /etc/hosts\n' in notes
    assert " JOBRUN_NATS_URL=tls://jobrun-nats.jobrun.svc:4222 JOBRUN_NATS_USER=client\n" in notes
    assert " get configmap jobrun-nats -o jsonpath='{.data.ca\\.crt}' >nats-ca.crt\n" in notes
    known = notes_of(chart, {"nats": {"tls": {"secretName": "broker-tls"}}})
    assert "/etc/hosts" in known
    assert "nats-ca.crt" not in known
    assert "/etc/hosts" not in notes_of(chart, {})


@pytest.mark.parametrize(
    ("values", "namespace"), [({}, "jobrun"), ({"watchNamespaces": ["team-b", "team-a"]}, "team-b")]
)
def test_notes_say_the_namespace_of_runs_in_each_command(chart: Any, values: Values, namespace: str) -> None:
    about_runs = re.compile(r"(?m)^ +(?:jobrun|kubectl .* (?:apply|describe|get jobruns)) .*")
    commands = about_runs.findall(notes_of(chart, values))
    assert len(commands) == 5
    assert all(re.search(rf"(-n|--namespace) {namespace} ", one) for one in commands), commands


def notes_of(chart: Any, values: Values) -> str:
    notes: str = chart.render(values, name="jobrun", namespace="jobrun")["jobrun/templates/NOTES.txt"]
    return notes


def hello(chart: Any, values: Values | None = None) -> Object:
    """The JobRun of NOTES.txt, as one that the API has stored."""
    text = notes_of(chart, values or {})
    found = re.search(r"<<'EOF'\n(.*?)\n\s*EOF", text, re.DOTALL)
    assert found is not None
    manifest: Object = yaml.safe_load(found.group(1))
    manifest["metadata"] |= {"namespace": "team", "uid": "5f0c1a52-0000-4000-8000-000000000001"}
    return manifest


def environment(rendered: Rendered) -> dict[str, str]:
    """The operator's; a value out of a Secret is ``<name/key>``."""
    (found,) = [pod for pod in rendered.pods() if pod["spec"]["containers"][0]["name"] == "operator"]
    variables = {}
    for variable in found["spec"]["containers"][0]["env"]:
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        variables[variable["name"]] = (
            f"<{reference['name']}/{reference['key']}>" if reference else variable["value"]
        )
    return variables


def settings_of(rendered: Rendered) -> OperatorSettings:
    return OperatorSettings.from_env(environment(rendered))
