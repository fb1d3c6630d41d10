"""On a real cluster: images, chart, examples and README's own commands. Skipped where there is no Docker."""

from __future__ import annotations

import json

import pytest

from e2e.conftest import ROOT, SCRIPT, Kind
from e2e.readme import cluster_commands

SETUP = ("helm install", "helm upgrade --install", "helm repo", "kubectl create namespace")
"""Of README's commands, what the cluster was set up with."""


def test_the_examples_run_to_their_end(kind: Kind) -> None:
    kind.run(f"{SCRIPT} examples")
    for name in ("hello", "shell", "daylight"):
        run = json.loads(kind.run(f"kubectl get jobrun {name} --output json"))
        assert run["status"]["phase"] == "Completed"
        assert run["status"]["replicas"] == 0
    deployments = json.loads(kind.run("kubectl get deployments --output json"))["items"]
    assert [one["spec"]["replicas"] for one in deployments] == [0, 0, 0]


def test_pods_of_operator_and_broker_meet_the_restricted_standard(kind: Kind) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    said = kind.run(f"kubectl label --dry-run=server --overwrite namespace jobrun default {label} 2>&1")
    assert "violate" not in said


def test_a_namespace_with_a_run_goes_within_seconds(kind: Kind) -> None:
    kind.run("kubectl create namespace short-lived")
    manifest = (ROOT / "examples" / "shell" / "jobrun.yaml").read_text()
    kind.run(f"kubectl --namespace short-lived apply -f - <<'EOF'\n{manifest}\nEOF")
    kind.run("kubectl delete namespace short-lived --timeout=60s")


def test_readmes_commands_work_as_they_stand(kind: Kind) -> None:
    commands = [
        one for one in cluster_commands((ROOT / "README.md").read_text()) if not one.startswith(SETUP)
    ]
    if not commands:
        pytest.skip("README.md has no section on Kubernetes with commands")
    for command in commands:
        kind.run(command)
