"""Values: the schema knows each one and refuses the rest; the reference and the CRD in the chart are up to date."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from jobrun_operator.api.schema import crd
from support.chart import CHART, ROOT, VALUES, Values

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
FREE = {"global"}
"""What Helm itself puts into the values of a chart."""


def own_broker(**secret: str) -> Values:
    """With the operator's login in a Secret that has these keys."""
    return {"nats": {"enabled": False, "url": "nats://x:4222", "existingSecret": {"name": "x", **secret}}}


def on_disk(size: Any, store: str) -> Values:
    return {"nats": {"persistence": {"size": size}, "jetstream": {"maxFileStore": store}}}


def in_memory(limit: str, go: str) -> Values:
    return {"nats": {"resources": {"limits": {"memory": limit}}, "goMemoryLimit": go}}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"replicas": 2}, "additional properties 'replicas' not allowed"),
        ({"nats": {"replicas": 3}}, "'/nats': additional properties 'replicas' not allowed"),
        ({"image": "x:1"}, "'/image'"),
        ({"image": {"digest": "sha256:short"}}, "'/image/digest'"),
        ({"image": {"pullPolicy": "Sometimes"}}, "'/image/pullPolicy'"),
        ({"watchNamespaces": "team"}, "'/watchNamespaces'"),
        ({"watchNamespaces": ["Team"]}, "'/watchNamespaces/0'"),
        ({"watchNamespaces": ["a", "a"]}, "'/watchNamespaces'"),
        ({"settings": {"workMaxBytes": "1Gi"}}, "'/settings/workMaxBytes'"),
        ({"settings": {"workMaxBytes": 1000}}, "'/settings/workMaxBytes'"),
        ({"settings": {"logLevel": "loud"}}, "'/settings/logLevel'"),
        ({"settings": {"streamReplicas": 2}}, "'/settings/streamReplicas'"),
        ({"settings": {"prefix": "a.b"}}, "'/settings/prefix'"),
        ({"settings": {"natsUrl": "nats://x"}}, "'/settings'"),
        ({"resources": {"limit": {}}}, "'/resources'"),
        ({"resources": {"limits": {"memory": "much"}}}, "'/resources/limits/memory'"),
        ({"nats": {"url": "broker:4222", "enabled": False}}, "'/nats/url'"),
        ({"nats": {"jetstream": {"maxFileStore": "9Gi"}}}, "'/nats/jetstream/maxFileStore'"),
        ({"nats": {"goMemoryLimit": "920Mi"}}, "'/nats/goMemoryLimit'"),
        ({"nats": {"uploadBuckets": ["a.b"]}}, "'/nats/uploadBuckets/0'"),
        ({"podDisruptionBudget": {"maxUnavailable": 2}}, "'/podDisruptionBudget/maxUnavailable'"),
        ({"fullnameOverride": "x" * 48}, "'/fullnameOverride'"),
        ({"extraEnv": {"A": "b"}}, "'/extraEnv'"),
        # What a schema can't say, or not in a way that can be understood.
        ({"nats": {"enabled": False}}, "nats.url: say where your broker is"),
        ({"nats": {"url": "nats://x:4222"}}, "set nats.enabled=false"),
        ({"nats": {"existingSecret": {"name": "x"}}}, "set nats.enabled=false"),
        ({"settings": {"streamReplicas": 3}}, "the included broker is a single server"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name: say which"),
        ({"nats": {"image": {"tag": ""}}}, "nats.image.tag: say which"),
        ({"nats": {"tls": {"ca": "x"}}}, "nats.tls.ca: the broker has no TLS without nats.tls.secretName"),
        (on_disk("9663676416", "9GB"), "nats.jetstream.maxFileStore: 9GB has to be less than"),
        (on_disk("5Gi", "9GB"), "less than nats.persistence.size (5Gi)"),
        (on_disk("1T", "1TB"), "nats.jetstream.maxFileStore: 1TB"),
        (on_disk(9e9, "9GB"), "nats.jetstream.maxFileStore: 9GB"),
        (in_memory("512Mi", "920MiB"), "nats.goMemoryLimit: 920MiB has to be less than"),
        (in_memory("1G", "1GiB"), "less than nats.resources.limits.memory (1G), about 90 % of it"),
        (
            {"nats": {"workerSecret": {"name": "jobrun-nats-auth"}}},
            "nats.workerSecret.name: jobrun-nats-auth is",
        ),
        (
            {"nats": {"auth": {"existingSecret": "jobrun-nats-worker"}}},
            "give the workers' login another name",
        ),
        (own_broker(userKey="u", passwordKey=""), "nats.existingSecret.passwordKey: say which key"),
        (own_broker(certKey="tls.crt", certKeyKey=""), "nats.existingSecret.certKeyKey: say which key"),
        ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "commonLabels: app.kubernetes.io/name is set"),
        ({"podLabels": {"app.kubernetes.io/component": "x"}}, "podLabels: app.kubernetes.io/component is"),
        (
            {"nats": {"podLabels": {"app.kubernetes.io/instance": "x"}}},
            "nats.podLabels: app.kubernetes.io/in",
        ),
        (
            {"metrics": {"serviceMonitor": {"enabled": True}, "service": {"enabled": False}}},
            "metrics.serviceMonitor.enabled needs metrics.service.enabled",
        ),
    ],
)
def test_refuses(chart: Any, values: Values, says: str) -> None:
    helm = pytest.importorskip("helm_python")
    with pytest.raises(helm.HelmError) as refusal:
        chart.render(values, name="jobrun", namespace="jobrun")
    assert says in str(refusal.value)


@pytest.mark.parametrize("values", [*VALUES.values(), {"global": {"anything": 1}}])
def test_accepts(chart: Any, values: Values) -> None:
    chart.validate_schema(values)


@pytest.mark.parametrize(
    "values",
    [
        on_disk("10G", "9GB"),
        on_disk("0.5Ti", "500GB"),
        on_disk("2e10", "9GB"),
        in_memory("2Gi", "1843MiB"),
        in_memory("512Mi", "450000000"),
        {"nats": {"resources": None}},
        {"nats": {"enabled": False, "url": "nats://x:4222"} | on_disk("5Gi", "9GB")["nats"]},
    ],
)
def test_renders(render: Any, values: Values) -> None:
    assert render(values)


def test_the_schema_knows_the_values_that_there_are() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(paths_of_schema(SCHEMA)) - FREE == set(paths_of_values(values, SCHEMA))


def paths_of_schema(schema: Values, above: str = "") -> Iterator[str]:
    for name, below in resolved(schema).get("properties", {}).items():
        path = f"{above}.{name}".lstrip(".")
        if is_closed(below):
            yield from paths_of_schema(below, path)
        else:
            yield path


def paths_of_values(values: Values, schema: Values, above: str = "") -> Iterator[str]:
    """Down to where the schema leaves it to Kubernetes what may be there."""
    for name, value in values.items():
        path, below = f"{above}.{name}".lstrip("."), resolved(schema)["properties"].get(name)
        assert below is not None, f"{path} is not in values.schema.json"
        if is_closed(below):
            yield from paths_of_values(value, below, path)
        else:
            yield path


def resolved(schema: Values) -> Values:
    reference = schema.get("$ref", "").rpartition("/")[2]
    found: Values = SCHEMA["definitions"][reference] if reference else schema
    return found


def is_closed(schema: Values) -> bool:
    """Whether it lists what may be there; ``resources`` is a value as a whole all the same."""
    if schema.get("$ref") == "#/definitions/resources":
        return False
    found = resolved(schema)
    assert found.get("additionalProperties") is False or "properties" not in found
    return "properties" in found


def test_generated_files_are_up_to_date() -> None:
    pytest.importorskip("helm_python")
    check = subprocess.run(
        [sys.executable, ROOT / "helm" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (check.returncode, check.stderr) == (0, "")


def test_the_network_policy_of_the_reference_is_about_the_operator(render: Any) -> None:
    text = (ROOT / "docs" / "chart-values.md").read_text()
    policy = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    pytest.importorskip("kubernetes_validate").validate(policy, "1.36", strict=True)
    selected = policy["spec"]["podSelector"]["matchLabels"].items()
    pods = [
        pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for pod in render().pods()
        if selected <= pod["metadata"]["labels"].items()
    ]
    assert pods == ["operator"]


def test_what_is_restarted_for_a_certificate_is_there(render: Any) -> None:
    for name in ("chart-values.md", "failure-modes.md"):
        assert (
            "kubectl -n jobrun rollout restart statefulset/jobrun-nats" in (ROOT / "docs" / name).read_text()
        )
    assert render().one("StatefulSet", "jobrun-nats")


def test_the_definition_is_the_one_of_the_models(render: Any) -> None:
    (installed,) = [item for item in render() if item["kind"] == "CustomResourceDefinition"]
    ours = {name: installed["metadata"].pop(name) for name in ("labels", "annotations")}
    assert installed == crd()
    assert ours["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert ours["labels"]["app.kubernetes.io/component"] == "crds"


def test_the_definition_can_be_left_out_or_given_up(render: Any) -> None:
    assert "CustomResourceDefinition" not in render({"crds": {"install": False}}).kinds()
    (installed,) = [
        item for item in render({"crds": {"keep": False}}) if item["kind"] == "CustomResourceDefinition"
    ]
    assert "annotations" not in installed["metadata"]
