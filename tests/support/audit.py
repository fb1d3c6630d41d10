"""What service accounts have written to the API server, as its own audit log tells it.

Source: Kubernetes documentation, "Auditing" (``audit.k8s.io/v1``). What is under test has no say in these figures.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {
            "level": "Metadata",
            "userGroups": ["system:serviceaccounts"],
            "verbs": ["create", "update", "patch", "delete", "deletecollection"],
        },
        {"level": "None"},
    ],
}


@dataclass(frozen=True, slots=True)
class Write:
    at: float
    """When the server received it; seconds since the epoch."""
    verb: str
    resource: str
    """The plural, with its subresource: ``jobruns/status``."""
    code: int
    """Of the answer."""


class AuditLog:
    def __init__(self, folder: Path) -> None:
        self._policy = folder / "audit-policy.json"
        self._log = folder / "audit.log"

    def flags(self) -> list[str]:
        """Of kube-apiserver."""
        self._policy.write_text(json.dumps(_POLICY))
        return [f"--audit-policy-file={self._policy}", f"--audit-log-path={self._log}"]

    def writes(self, namespace: str, account: str) -> list[Write]:
        """All that were answered so far, by when they were received."""
        user = f"system:serviceaccount:{namespace}:{account}"
        # A line that is being written has no end yet.
        lines = self._log.read_text().rpartition("\n")[0].splitlines()
        entries = [entry for line in lines if (entry := json.loads(line))["user"]["username"] == user]
        return sorted((_write(entry) for entry in entries), key=lambda one: one.at)


def _write(entry: dict[str, object]) -> Write:
    what, answer = entry["objectRef"], entry["responseStatus"]
    assert isinstance(what, dict)
    assert isinstance(answer, dict)
    parts = [what["resource"], *([what["subresource"]] if "subresource" in what else [])]
    return Write(
        at=datetime.fromisoformat(str(entry["requestReceivedTimestamp"])).timestamp(),
        verb=str(entry["verb"]),
        resource="/".join(parts),
        code=int(answer["code"]),
    )
