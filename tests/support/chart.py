"""What the tests of the chart share: sets of values, and the objects that a chart renders to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "jobrun"

Values = dict[str, Any]
Object = dict[str, Any]

DIGEST = f"sha256:{'0' * 64}"

VALUES: dict[str, Values] = {
    "defaults": {},
    "watched namespaces": {"watchNamespaces": ["team-a", "team-b"]},
    "own broker, password": {
        "nats": {
            "enabled": False,
            "url": "nats://one:4222,nats://two:4222",
            "existingSecret": {"name": "operator-login"},
            "workerSecret": {"name": "worker-login"},
        },
        "settings": {"streamReplicas": 3},
    },
    "own broker, credentials file": {
        "nats": {
            "enabled": False,
            "url": "tls://broker.example:4222",
            "workerUrl": "tls://other.example:4222",
            "existingSecret": {"name": "operator-login", "credsKey": "nats.creds", "caKey": "ca.crt"},
        }
    },
    "own broker, certificate": {
        "nats": {
            "enabled": False,
            "url": "tls://broker.example:4222",
            "existingSecret": {
                "name": "operator-login",
                "userKey": "",
                "caKey": "ca.crt",
                "certKey": "tls.crt",
            },
        }
    },
    "own broker, no login": {"nats": {"enabled": False, "url": "nats://broker:4222"}},
    "own passwords": {"nats": {"auth": {"existingSecret": "from-the-vault"}}},
    "TLS": {"nats": {"tls": {"secretName": "broker-tls", "ca": "-----BEGIN CERTIFICATE-----\nx\n"}}},
    "no volume": {"nats": {"persistence": {"enabled": False}}},
    "everything on": {
        "commonLabels": {"team": "platform"},
        "image": {"digest": DIGEST},
        "imagePullSecrets": [{"name": "registry"}],
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "podLabels": {"a": "b"},
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "batch", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "podDisruptionBudget": {"enabled": True, "maxUnavailable": 0},
        "metrics": {"serviceMonitor": {"enabled": True}},
        "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {}}]},
        "serviceAccount": {"annotations": {"a": "b"}},
        "nats": {
            "image": {"digest": DIGEST},
            "podLabels": {"a": "b"},
            "podAnnotations": {"a": "b"},
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "batch", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "system-cluster-critical",
            "podDisruptionBudget": {"enabled": True},
            "persistence": {"storageClassName": "fast"},
            "workerSecret": {"namespaces": ["team-c"]},
        },
    },
    "as little as possible": {
        "crds": {"install": False},
        "rbac": {"create": False},
        "serviceAccount": {"create": False, "name": "given"},
        "metrics": {"service": {"enabled": False}},
        "nats": {"enabled": False, "url": "nats://broker:4222"},
    },
}
"""Sets of values that together use every branch of the templates."""


class Rendered(list[Object]):
    """The objects of a release."""

    def one(self, kind: str, name: str, namespace: str | None = "jobrun") -> Object:
        found = [
            item
            for item in self
            if item["kind"] == kind
            and item["metadata"]["name"] == name
            and item["metadata"].get("namespace") == namespace
        ]
        assert len(found) == 1, (kind, name, namespace, [identity(item) for item in self])
        return found[0]

    def kinds(self) -> set[str]:
        return {item["kind"] for item in self}

    def pods(self) -> list[Object]:
        """The pod templates."""
        return [item["spec"]["template"] for item in self if item["kind"] in ("Deployment", "StatefulSet")]


def objects(files: dict[str, str]) -> Rendered:
    """The objects in rendered files."""
    return Rendered(
        item
        for path, text in files.items()
        if path.endswith(".yaml")
        for item in yaml.safe_load_all(text)
        if item
    )


def identity(item: Object) -> tuple[str, str | None, str]:
    return item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]
