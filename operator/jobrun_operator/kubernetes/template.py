"""The Deployment of a run's workers: the pod template of its spec, merged with what the operator must own. Pure.

A user's template wins wherever it may (resources, volumes, scheduling, its own security context); image, command,
environment of the contract, ports and the run's identity are the operator's. By default pods meet the Pod Security
Standard "restricted".
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from jobrun_operator.api import API_VERSION, GROUP, KIND, WORKER_CONTAINER, JobRun
from jobrun_operator.core.worker_settings import worker_settings
from jobrun_worker.settings import ENV_PREFIX, WorkerSettings

Object = dict[str, Any]

UID_LABEL = f"{GROUP}/uid"
RUN_LABEL = f"{GROUP}/run"
INPUTS_ANNOTATION = f"{GROUP}/inputs"
"""Digest of what the pod template was made from: while it stays the same nothing is applied, so that neither a change
of rate or scale nor another version of the operator restarts workers."""

PORT = 8080
PORT_NAME = "jobrun"
COMMAND = ("python", "-m", "jobrun_worker")
CREDENTIALS_PATH = "/var/run/secrets/jobrun.dev/nats"
CREDENTIALS_KEY, USER_KEY, PASSWORD_KEY = "nats.creds", "username", "password"
CA_KEY, CERT_KEY, CERT_KEY_KEY = "ca.crt", "tls.crt", "tls.key"
"""Keys of the Secret with workers' credentials: a ``.creds`` file, or a user and its password; the authority that
signed the broker's certificate; a certificate to show to the broker, and its key."""

_CREDENTIALS_VOLUME, _TMP_VOLUME = "jobrun-nats", "jobrun-tmp"
_NOBODY = 65532
_GRACE_MARGIN = 10
"""Seconds that a pod has beyond its worker's own grace period."""
_LONGEST_NAME = 46
"""With what Deployments and ReplicaSets append, names of pods stay within 63 characters: they are host names."""


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """What workers need to know of this installation."""

    nats_url: str
    prefix: str = "jobrun"
    ack_wait_seconds: float = 30.0
    nats_secret: str = ""
    """Default of ``spec.worker.natsSecretName``."""


def deployment_name(run: JobRun) -> str:
    """Of the run's name and of its uid: a run that is created again under its name has another Deployment."""
    identity = run.uid.split("-", 1)[0]
    return f"{run.name[: _LONGEST_NAME - len(identity) - 1].rstrip('-')}-{identity}"


def secret_name(run: JobRun, place: WorkerPlace) -> str:
    """The Secret with the credentials of the run's workers; empty: they need none."""
    return run.spec.worker.nats_secret_name or place.nats_secret


def inputs_digest(run: JobRun, place: WorkerPlace) -> str:
    """Changes when, and only when, workers have to be replaced."""
    spec = run.spec
    inputs = [
        spec.worker.model_dump(mode="json", exclude_defaults=True),
        spec.retry.model_dump(mode="json", exclude_defaults=True),
        spec.results.retain,
        [place.nats_url, place.prefix, place.ack_wait_seconds, secret_name(run, place)],
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:32]


def deployment(run: JobRun, place: WorkerPlace, secret_keys: Collection[str]) -> Object:
    """The Deployment without ``spec.replicas``. ``secret_keys``: of the Secret with the workers' credentials."""
    labels = {
        "app.kubernetes.io/name": "jobrun-worker",
        "app.kubernetes.io/managed-by": "jobrun",
        RUN_LABEL: run.name,
        UID_LABEL: run.uid,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": deployment_name(run),
            "namespace": run.namespace,
            "labels": labels,
            "annotations": {INPUTS_ANNOTATION: inputs_digest(run, place)},
            # No blockOwnerDeletion: it would need a permission on finalizers, and nothing has to wait.
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": run.name,
                    "uid": run.uid,
                    "controller": True,
                }
            ],
        },
        "spec": {
            "selector": {"matchLabels": {UID_LABEL: run.uid}},
            "revisionHistoryLimit": 1,
            # A new worker before an old one goes: a change of image must not stop the run. A quarter at a time, rounded
            # up: one by one, hundreds of them would take hours.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": _pod(run, place, labels, frozenset(secret_keys)),
        },
    }


def _pod(run: JobRun, place: WorkerPlace, labels: Mapping[str, str], keys: frozenset[str]) -> Object:
    template = copy.deepcopy(run.spec.worker.pod_template)
    meta: Object = dict(template.get("metadata") or {})
    meta["labels"] = {**(meta.get("labels") or {}), **labels}
    pod: Object = dict(template.get("spec") or {})
    secret = secret_name(run, place)
    settings = _settings(run, place, keys)
    containers = list(pod.get("containers") or [])
    given: Object = next((one for one in containers if one.get("name") == WORKER_CONTAINER), {})
    worker = _container(run, given, settings, secret)
    pod["containers"] = [worker, *(one for one in containers if one.get("name") != WORKER_CONTAINER)]
    pod["volumes"] = _volumes(pod, given, secret)
    pod.setdefault("automountServiceAccountToken", False)
    pod.setdefault("enableServiceLinks", False)
    least = round(settings.grace_seconds) + _GRACE_MARGIN
    pod["terminationGracePeriodSeconds"] = max(least, pod.get("terminationGracePeriodSeconds") or 0)
    pod["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": _NOBODY,
        "runAsGroup": _NOBODY,
        "fsGroup": _NOBODY,
        "seccompProfile": {"type": "RuntimeDefault"},
        **(pod.get("securityContext") or {}),
    }
    return {"metadata": meta, "spec": pod}


def _settings(run: JobRun, place: WorkerPlace, keys: frozenset[str]) -> WorkerSettings:
    files: dict[str, Any] = {}
    if CREDENTIALS_KEY in keys:
        files["nats_credentials"] = f"{CREDENTIALS_PATH}/{CREDENTIALS_KEY}"
    elif {USER_KEY, PASSWORD_KEY} <= keys:
        files["nats_user_file"] = f"{CREDENTIALS_PATH}/{USER_KEY}"
        files["nats_password_file"] = f"{CREDENTIALS_PATH}/{PASSWORD_KEY}"
    if CA_KEY in keys:
        files["nats_tls_ca"] = f"{CREDENTIALS_PATH}/{CA_KEY}"
    if {CERT_KEY, CERT_KEY_KEY} <= keys:
        files["nats_tls_cert"] = f"{CREDENTIALS_PATH}/{CERT_KEY}"
        files["nats_tls_key"] = f"{CREDENTIALS_PATH}/{CERT_KEY_KEY}"
    return worker_settings(
        run,
        nats_url=place.nats_url,
        ack_wait_seconds=place.ack_wait_seconds,
        prefix=place.prefix,
        port=PORT,
        **files,
    )


def _container(run: JobRun, given: Mapping[str, Any], settings: WorkerSettings, secret: str) -> Object:
    env: list[Object] = [{"name": name, "value": value} for name, value in sorted(settings.to_env().items())]
    # The worker's name in results is its pod's.
    env.append({"name": f"{ENV_PREFIX}WORKER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})
    mounts = list(given.get("volumeMounts") or [])
    if secret:
        mounts.append({"name": _CREDENTIALS_VOLUME, "mountPath": CREDENTIALS_PATH, "readOnly": True})
    if not any(mount.get("mountPath") == "/tmp" for mount in mounts):  # noqa: S108  # of the container
        mounts.append({"name": _TMP_VOLUME, "mountPath": "/tmp"})  # noqa: S108
    return {
        **_probes(settings),
        **given,
        "name": WORKER_CONTAINER,
        "image": run.spec.worker.image,
        "command": list(COMMAND),
        "env": [*(given.get("env") or []), *env],
        "ports": [
            *(given.get("ports") or []),
            {"name": PORT_NAME, "containerPort": PORT, "protocol": "TCP"},
        ],
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            **(given.get("securityContext") or {}),
        },
    }


def _volumes(pod: Mapping[str, Any], given: Mapping[str, Any], secret: str) -> list[Object]:
    volumes = list(pod.get("volumes") or [])
    if secret:
        volumes.append({"name": _CREDENTIALS_VOLUME, "secret": {"secretName": secret}})
    if not any(mount.get("mountPath") == "/tmp" for mount in given.get("volumeMounts") or []):  # noqa: S108
        volumes.append({"name": _TMP_VOLUME, "emptyDir": {}})
    return volumes


def _probes(settings: WorkerSettings) -> Object:
    """A worker that is away from its broker is not ready, but alive: a restart would not bring the broker back."""

    def probe(path: str, **times: int) -> Object:
        return {"httpGet": {"path": path, "port": PORT_NAME}, "timeoutSeconds": 3, **times}

    return {
        "startupProbe": probe("/healthz", periodSeconds=1, failureThreshold=120),
        "readinessProbe": probe("/readyz", periodSeconds=2, failureThreshold=2),
        "livenessProbe": probe("/healthz", periodSeconds=10, failureThreshold=6),
    }
