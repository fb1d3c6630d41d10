"""``helm install``, ``upgrade`` and ``uninstall`` on a real API server, by Helm's own engine."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from jetstream.worker.rig import until
from support.chart import CHART, ROOT, Object, Rendered, Values, identity
from support.chart_broker import decoded, running
from support.control_plane import ControlPlane
from support.manifests import manifest
from support.operator_process import OperatorProcess

DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobruns.jobrun.dev"
MONITORS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_numbers = itertools.count()


class Release:
    """A release "jobrun" in a namespace of its own, in which only restricted pods are let in."""

    def __init__(self, cluster: ControlPlane) -> None:
        self.cluster = cluster
        self.namespace = f"release-{next(_numbers)}"
        self.add_namespace(self.namespace)

    def add_namespace(self, name: str) -> None:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.cluster.make("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})

    def install(self, values: Values | None = None) -> Rendered:
        with self._helm() as helm:
            return objects_of(helm.install(CHART, "jobrun", values or {}))

    def upgrade(self, values: Values | None = None, chart: Path = CHART) -> Rendered:
        with self._helm() as helm:
            return objects_of(helm.upgrade(chart, "jobrun", values or {}))

    def uninstall(self) -> None:
        with self._helm() as helm:
            helm.uninstall("jobrun", ignore_not_found=True)

    def _helm(self) -> Any:
        import helm_python

        kubeconfig = self.cluster.kubeconfig("helm", self.cluster.token, self.namespace)
        return helm_python.Config(kubeconfig_path=kubeconfig, namespace=self.namespace)

    def get(self, path: str) -> Object:
        """An object of the release's namespace: ``api/v1``, or ``apis/apps/v1``, then plural and name."""
        group, _, rest = path.rpartition("//")
        return self.cluster.get(f"/{group}/namespaces/{self.namespace}/{rest}")

    def secret(self, name: str) -> dict[str, str]:
        found = self.get(f"api/v1//secrets/{name}")
        return {key: decoded(found, key) for key in found["data"]}


@pytest.fixture
def release(cluster: ControlPlane) -> Iterator[Release]:
    release = Release(cluster)
    yield release
    release.uninstall()
    cluster.request("DELETE", DEFINITION)


def objects_of(release: Object) -> Rendered:
    return Rendered(item for item in yaml.safe_load_all(release["manifest"]) if item)


def path_of(item: Object) -> str:
    version = item["apiVersion"]
    plural = f"{item['kind'].lower().removesuffix('y')}{'ies' if item['kind'].endswith('y') else 's'}"
    place = item["metadata"].get("namespace")
    return "/".join(
        [
            "/apis" if "/" in version else "/api",
            version,
            *(["namespaces", place] if place else []),
            plural,
            item["metadata"]["name"],
        ]
    )


def test_makes_what_it_renders_and_pods_that_are_let_in(release: Release) -> None:
    installed = release.install()
    assert len(installed) >= 15
    for item in installed:
        assert release.cluster.request("GET", path_of(item))[0] == 200, identity(item)
    for template in installed.pods():
        pod = {"metadata": {**template["metadata"], "name": "x"}, "spec": template["spec"]}
        pod["spec"].setdefault("volumes", []).append({"name": "data", "emptyDir": {}})
        path = f"/api/v1/namespaces/{release.namespace}/pods?dryRun=All&fieldValidation=Strict"
        release.cluster.make(path, {"apiVersion": "v1", "kind": "Pod", **pod})


def test_an_upgrade_keeps_passwords_and_renews_the_definition(release: Release, tmp_path: Path) -> None:
    release.install()
    passwords, login = release.secret("jobrun-nats-auth"), release.secret("jobrun-nats-worker")
    before = release.get("apis/apps/v1//statefulsets/jobrun-nats")

    newer = tmp_path / "jobrun"
    shutil.copytree(CHART, newer)
    definition = newer / "files" / "jobrun.dev_jobruns.yaml"
    definition.write_text(definition.read_text().replace("name: Progress", "name: So far"))
    release.add_namespace(f"{release.namespace}-team")
    extra = {"workerSecret": {"namespaces": [f"{release.namespace}-team"]}}
    release.upgrade({"resources": {"limits": {"memory": "1Gi"}}, "nats": extra}, newer)

    assert release.secret("jobrun-nats-auth") == passwords
    assert release.secret("jobrun-nats-worker") == login
    copied = release.cluster.get(f"/api/v1/namespaces/{release.namespace}-team/secrets/jobrun-nats-worker")
    assert decoded(copied, "password") == login["password"]
    after = release.get("apis/apps/v1//statefulsets/jobrun-nats")
    assert after["spec"]["template"] == before["spec"]["template"]  # the broker is not restarted
    deployment = release.get("apis/apps/v1//deployments/jobrun")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "1Gi"
    (version,) = release.cluster.get(DEFINITION)["spec"]["versions"]
    assert "So far" in [column["name"] for column in version["additionalPrinterColumns"]]


async def test_uninstalling_keeps_the_definition_and_the_runs(release: Release) -> None:
    installed = release.install()
    path = f"/apis/jobrun.dev/v1alpha1/namespaces/{release.namespace}/jobruns"

    async def served() -> bool:
        return release.cluster.request("GET", path)[0] == 200

    await until("the definition is established", served)
    release.cluster.make(path, manifest())
    release.uninstall()
    left = [item["kind"] for item in installed if release.cluster.request("GET", path_of(item))[0] != 404]
    assert left == ["CustomResourceDefinition"]
    assert release.cluster.get(f"{path}/backfill")["spec"]["tasks"] == {"count": 10}
    release.install()  # takes up the definition that was kept
    assert release.cluster.get(f"{path}/backfill")


WATCHES = [
    ([], [], "all namespaces"),
    ([], ["team-a"], "all namespaces"),
    (["team-a"], [], "the namespace team-a"),
    (["team-a"], ["team-b", "team-a"], "the namespace team-a"),
    (["team-a"], ["team-b"], ""),
]


@pytest.mark.parametrize(("first", "second", "says"), WATCHES)
def test_refuses_what_another_release_watches(
    release: Release, first: list[str], second: list[str], says: str
) -> None:
    for name in {*first, *second}:
        if release.cluster.request("GET", f"/api/v1/namespaces/{name}")[0] != 200:
            release.add_namespace(name)
    release.install({"watchNamespaces": first})
    other = Release(release.cluster)
    values = {"watchNamespaces": second, "crds": {"install": False}}
    try:
        if says:
            expected = rf"another release \({release.namespace}/jobrun\) runs the JobRuns of {says}"
            with pytest.raises(Exception, match=expected):
                other.install(values)
        else:
            other.install(values)
        release.upgrade({"watchNamespaces": first})  # is not in its own way
    finally:
        other.uninstall()


NEEDED = yaml.safe_load((ROOT / "tests" / "support" / "rbac.yaml").read_text())["namespaced"]
ALLOWED = [
    (verb, group, resource, "team-a")
    for rule in NEEDED
    for group in rule["apiGroups"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
]
DENIED = [
    ("update", "jobrun.dev", "jobruns", "team-a"),
    ("create", "jobrun.dev", "jobruns", "team-a"),
    ("update", "apps", "deployments", "team-a"),
    ("list", "", "secrets", "team-a"),
    ("create", "", "secrets", "team-a"),
    ("delete", "", "pods", "team-a"),
    ("create", "", "pods", "team-a"),
    ("create", "", "pods/exec", "team-a"),
    ("list", "", "namespaces", ""),
    ("create", "rbac.authorization.k8s.io", "rolebindings", "team-a"),
]


@pytest.mark.parametrize("watched", [[], ["team-a"]], ids=["cluster", "namespaces"])
def test_the_operator_may_do_what_it_needs_and_no_more(release: Release, watched: list[str]) -> None:
    cluster = release.cluster
    if watched and cluster.request("GET", "/api/v1/namespaces/team-a")[0] != 200:
        release.add_namespace("team-a")
    release.install({"watchNamespaces": watched})
    may = [(question, allowed(release, *question)) for question in ALLOWED + DENIED]
    assert may == [*((question, True) for question in ALLOWED), *((question, False) for question in DENIED)]
    for verb, group, resource, _ in ALLOWED:
        assert allowed(release, verb, group, resource, "team-b") is not bool(watched)
    assert allowed(release, "get", "", "namespaces", "", name="kube-system")
    assert not allowed(release, "get", "", "namespaces", "", name="team-a")


def allowed(release: Release, verb: str, group: str, resource: str, namespace: str, name: str = "") -> bool:
    """As the API server itself decides."""
    plural, _, part = resource.partition("/")
    asked = {"verb": verb, "group": group, "resource": plural, "subresource": part, "namespace": namespace}
    user = f"system:serviceaccount:{release.namespace}:jobrun"
    review = {"spec": {"user": user, "resourceAttributes": {**asked, "name": name}}}
    answer = release.cluster.make("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


async def test_a_service_monitor_where_the_cluster_knows_one(release: Release) -> None:
    values = {"metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}}
    assert "ServiceMonitor" not in release.install(values).kinds()
    release.cluster.make(MONITORS, monitors())
    path = f"/apis/monitoring.coreos.com/v1/namespaces/{release.namespace}/servicemonitors"

    async def served() -> bool:
        return release.cluster.request("GET", path)[0] == 200

    try:
        await until("the definition is established", served)
        monitor = release.upgrade(values).one("ServiceMonitor", "jobrun", release.namespace)
        assert release.cluster.get(f"{path}/jobrun")["spec"] == monitor["spec"]
        service = release.get("api/v1//services/jobrun-metrics")
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert [one["port"] for one in monitor["spec"]["endpoints"]] == [
            port["name"] for port in service["spec"]["ports"]
        ]
    finally:
        release.cluster.request("DELETE", f"{MONITORS}/servicemonitors.monitoring.coreos.com")


def monitors() -> Object:
    """The definition of the Prometheus operator's ServiceMonitor, without its schema."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "servicemonitors", "singular": "servicemonitor", "kind": "ServiceMonitor"}
    group = "monitoring.coreos.com"
    return {
        "metadata": {"name": f"servicemonitors.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


async def test_the_operator_starts_and_runs_with_what_it_is_given(release: Release, tmp_path: Path) -> None:
    """Its environment, its ServiceAccount's own token and permissions, and its user at the broker."""
    release.install()
    stored = [
        release.get(f"apis/apps/v1//{name}") for name in ("statefulsets/jobrun-nats", "deployments/jobrun")
    ]
    parts = Rendered(
        {**item, "kind": kind, "metadata": {**item["metadata"], "namespace": "jobrun"}}
        for kind, item in (
            ("StatefulSet", stored[0]),
            ("ConfigMap", release.get("api/v1//configmaps/jobrun-nats")),
            ("Secret", release.get("api/v1//secrets/jobrun-nats-auth")),
        )
    )
    token = release.cluster.make(
        f"/api/v1/namespaces/{release.namespace}/serviceaccounts/jobrun/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )["status"]["token"]
    kubeconfig = release.cluster.kubeconfig("operator", token, release.namespace)
    path = f"/apis/jobrun.dev/v1alpha1/namespaces/{release.namespace}/jobruns"
    async with running(parts, tmp_path) as broker:
        settings = environment(stored[1], release) | {"nats_url": broker.url, "interval_seconds": "0.1"}
        operator = OperatorProcess(tmp_path, kubeconfig, settings.pop("nats_url"), **settings)
        operator.start()

        async def ready() -> bool:
            return operator.answer("/readyz")[0] == 200

        async def works() -> bool:
            found = release.get("apis/apps/v1//deployments?labelSelector=jobrun.dev/uid")["items"]
            return any(one["spec"]["replicas"] for one in found)

        try:
            await until("the operator is ready", ready)
            release.cluster.make(path, manifest())
            await until("the run has released and asked for workers", works)
            assert operator.stop() == 0
        finally:
            operator.end()
    assert release.cluster.get(f"{path}/backfill")["status"]["phase"] == "Running"
    (workers,) = release.get("apis/apps/v1//deployments?labelSelector=jobrun.dev/uid")["items"]
    secrets = [
        volume.get("secret", {}).get("secretName")
        for volume in workers["spec"]["template"]["spec"]["volumes"]
    ]
    assert "jobrun-nats-worker" in secrets
    assert broker.violations == []
    assert "Forbidden" not in operator.log.read_text()


def environment(deployment: Object, release: Release) -> dict[str, str]:
    """The operator's, by names of its settings, with what the references to Secrets stand for."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found = {}
    for variable in container["env"]:
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        value = (
            release.secret(reference["name"])[reference["key"]] if reference else variable.get("value", "")
        )
        found[variable["name"].removeprefix("JOBRUN_").lower()] = value
    return found
