"""The Kubernetes API as a person reaches it: by a kubeconfig and one of its contexts, which also names a namespace.

The other way round than for the operator, which is in a pod as a rule: here a pod's service account is the last resort.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kubernetes.aio import config as kube_config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException

from jobrun_operator.errors import EnvironmentFault, InputError

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class UserAccess:
    """How to reach an API server, and the namespace that is meant where none is said."""

    configuration: Configuration
    namespace: str


async def user_access(kubeconfig: Path | None, context: str | None) -> UserAccess:
    """``kubeconfig`` None: that of KUBECONFIG, else ~/.kube/config; ``context`` None: its current one.

    Raises InputError for options that can't be used, EnvironmentFault where there is no way to a cluster.
    """
    configuration = Configuration()
    file = _checked(kubeconfig)
    try:
        loader = await kube_config.load_kube_config(
            file, context, client_configuration=configuration, persist_config=False
        )
    except (ConfigException, OSError, TypeError, ValueError) as error:
        if kubeconfig is None and context is None and (pod := _of_pod()):
            return pod
        raise EnvironmentFault(
            f"no usable kubeconfig ({error}): set KUBECONFIG or --kubeconfig, and --context for one of its contexts"
        ) from error
    current = loader.current_context["context"]
    return UserAccess(configuration, str(current.get("namespace") or "default"))


def _checked(kubeconfig: Path | None) -> str | None:
    if kubeconfig is None:
        return None
    if not kubeconfig.is_file():
        raise InputError("--kubeconfig", f"there is no file {kubeconfig}")
    return str(kubeconfig)


def _of_pod() -> UserAccess | None:
    """The service account's, where this runs in a pod."""
    configuration = Configuration()
    try:
        kube_config.load_incluster_config(client_configuration=configuration)
        return UserAccess(configuration, _NAMESPACE_FILE.read_text().strip() or "default")
    except (ConfigException, OSError):
        return None
