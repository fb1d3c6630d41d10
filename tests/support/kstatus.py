"""kstatus, as far as it goes for a custom resource: what Flux, kpt and ``flux wait`` fall back to.

Source: sigs.k8s.io/cli-utils, pkg/kstatus/status: ``checkGenericProperties`` (``generic.go``), then
``checkReadyCondition`` (``status.go``); Flux's own copy, fluxcd/cli-utils, has the same rules. Written anew from them,
since the library is for Go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def compute(item: Mapping[str, Any]) -> str:
    """InProgress, Failed, Current or Terminating."""
    if item["metadata"].get("deletionTimestamp"):
        return "Terminating"
    status = item.get("status", {})
    observed = status.get("observedGeneration")
    if observed is not None and observed != item["metadata"].get("generation"):
        return "InProgress"
    conditions: list[Mapping[str, str]] = status.get("conditions", [])
    for condition in conditions:
        if condition["status"] == "True" and condition["type"] in ("Reconciling", "Stalled"):
            return "InProgress" if condition["type"] == "Reconciling" else "Failed"
    for condition in conditions:
        if condition["type"] == "Ready":
            return "Current" if condition["status"] == "True" else "InProgress"
    return "Current"
