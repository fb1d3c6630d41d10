"""What the operator's own role does not let it do: said by /readyz, since without its role it may not tell any run.

A 403 is RBAC's, a quota's, a security standard's or a webhook's. The latter three are about one object, and the run
that it belongs to says so; RBAC's is about the installation, and names a verb and a resource. Only what no run can do
without counts here: a Secret or a ConfigMap that may not be read is told by the run that names it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NEEDED = frozenset({"jobruns", "jobruns/status", "deployments", "pods"})

REMEMBERED_SECONDS = 300.0
"""Above every interval between two tries: what was not tried again for so long may be allowed by now."""

_MOST_NAMED = 3

_RBAC = re.compile(
    r'is forbidden: User "[^"]*" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)"'
    r'(?: in API group "[^"]*")?(?: in the namespace "(?P<namespace>[^"]+)")?'
)
"""Source: Kubernetes, ``apiserver/pkg/endpoints/handlers/responsewriters/errors.go`` (``forbiddenMessage``)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests that are all allowed or all denied. ``verb`` is the method, or WATCH."""

    verb: str
    resource: str
    """The plural, with its subresource: ``jobruns/status``."""
    namespace: str
    named: bool
    """Of one object, not of a collection."""

    @classmethod
    def of(cls, verb: str, path: str) -> Kind:
        """``path``: such as ``/apis/apps/v1/namespaces/default/deployments/name``."""
        parts = path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = ""
        if len(parts) > 2 and parts[0] == "namespaces":
            namespace, parts = parts[1], parts[2:]
        resource = "/".join([parts[0], *parts[2:3]]) if parts else "discovery"
        return cls(verb, resource, namespace, len(parts) > 1)


class Denials:
    """Times are seconds of one clock."""

    def __init__(self) -> None:
        self._denied: dict[Kind, tuple[str, float]] = {}

    def answered(self, kind: Kind, status: int, message: str, now: float) -> None:
        """What the API said to such a request. ``status`` 401 and 5xx say nothing of what is allowed."""
        denied = denied_by_rbac(message) if status == 403 else ""
        if denied and kind.resource in NEEDED:
            self._denied[kind] = (denied, now)
        elif status != 401 and status < 500:
            self._denied.pop(kind, None)

    def trouble(self, now: float) -> str:
        """What is denied and where to look; empty where nothing is."""
        recent = [(at, what) for what, at in self._denied.values() if now - at < REMEMBERED_SECONDS]
        if not recent:
            return ""
        different = sorted({what for _, what in recent})
        shown = ", ".join(different[:_MOST_NAMED])
        more = len(different) - _MOST_NAMED
        return (
            f"the operator may not {shown}{f' and {more} more' if more > 0 else ''}: see whether the chart's "
            "ClusterRole, or the Role of that namespace, and its binding are there and as the chart makes them"
        )


def denied_by_rbac(message: str) -> str:
    """``patch deployments in namespace shop``; empty where it is not RBAC that denies."""
    found = _RBAC.search(message)
    if found is None:
        return ""
    where = f" in namespace {found['namespace']}" if found["namespace"] else ""
    return f"{found['verb']} {found['resource']}{where}"
