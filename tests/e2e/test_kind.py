"""On a real cluster: images, chart, examples and README's own commands. Skipped where there is no Docker."""

from __future__ import annotations

import json

from e2e.conftest import ROOT, SCRIPT, UP_SECONDS, Kind
from e2e.readme import cluster_commands


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


def test_readmes_commands_work_as_they_stand(no_cluster: Kind) -> None:
    """From the images on, with a cluster of their own, which kind takes from the environment."""
    for command in cluster_commands((ROOT / "README.md").read_text()):
        no_cluster.run(command, seconds=UP_SECONDS)
