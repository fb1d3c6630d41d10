"""What the engine sees of a run's workers, worked out from its Deployment and its pods. Pure.

``running`` must not miss one: a run is Failed only when no worker runs any more. Of the Deployment's status that can't
be told (it does not count pods that terminate before Kubernetes 1.35, and lags behind its spec); of the pods alone it
can't either (one may be about to be created). So both are looked at, and the larger number is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from jobrun_operator.engine.ports import WorkersState

Object = dict[str, Any]

_HOPELESS = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}
"""Reasons for which a container waits that do not pass without somebody doing something."""

_LONGEST_UNREADY = timedelta(minutes=1)
"""For which a worker may be up without being let in by the broker: it starts in a second or two."""

_SHORT_LIFE = timedelta(minutes=1)
"""A container that ended in failure so soon, and not for the first time, does the same again as far as anybody knows:
without this a run in a crash loop would be Ready whenever its worker is up to crash."""

_LONGEST_MESSAGE = 300


def workers_state(
    deployments: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]], now: datetime
) -> WorkersState:
    """Of the Deployment of a run (there is one, or none) and of its pods, at ``now``."""
    alive = [pod for pod in pods if _status(pod).get("phase") not in ("Succeeded", "Failed")]
    desired = least = 0
    error = ""
    for deployment in deployments:
        if deployment["metadata"].get("deletionTimestamp"):
            continue
        spec, status = deployment.get("spec") or {}, _status(deployment)
        desired = int(spec.get("replicas", 1))
        least = max(least, int(status.get("replicas", 0)))
        if int(status.get("observedGeneration", 0)) < int(deployment["metadata"].get("generation", 0)):
            # Pods of the order before this one may be about to be created; of a first order of none there are none.
            least = max(least, min(1, desired + int(status.get("observedGeneration", 0))))
        error = error or _refusal(status)
    ready = sum(_is_ready(pod) for pod in alive)
    if not (error or ready):
        whys = (_why_waiting(pod) or _why_crashing(pod) or _why_unready(pod, now) for pod in alive)
        error = next(filter(None, whys), "")
    return WorkersState(
        desired=desired,
        running=max(len(alive), least),
        ready=min(ready, desired) if desired else 0,
        error=error,
    )


def kept_of_pod(pod: Object) -> Object:
    """What ``workers_state`` looks at: pods are large, and there may be thousands."""
    status = _status(pod)
    kept = {
        key: status[key]
        for key in ("phase", "conditions", "containerStatuses", "initContainerStatuses")
        if key in status
    }
    meta = pod["metadata"]
    wanted = ("name", "namespace", "uid", "resourceVersion", "labels", "deletionTimestamp")
    return {"metadata": {key: meta[key] for key in wanted if key in meta}, "status": kept}


def _status(item: Mapping[str, Any]) -> Mapping[str, Any]:
    status: Mapping[str, Any] = item.get("status") or {}
    return status


def _is_ready(pod: Mapping[str, Any]) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    return any(
        one.get("type") == "Ready" and one.get("status") == "True"
        for one in _status(pod).get("conditions") or []
    )


def _refusal(status: Mapping[str, Any]) -> str:
    """Why the cluster makes no pods: a quota, an admission rule, a security standard."""
    for condition in status.get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return _shortened(f"{condition.get('reason', '')}: {condition.get('message', '')}")
    return ""


def _why_waiting(pod: Mapping[str, Any]) -> str:
    """Why the pod does not come up: an image that is not there, a Secret that is missing, a crash at start, no node."""
    status = _status(pod)
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _HOPELESS:
            last = ((container.get("lastState") or {}).get("terminated") or {}).get("exitCode")
            exited = f" (last exit code {last})" if last is not None else ""
            said = f": {waiting['message']}" if waiting.get("message") else ""
            return _shortened(f"pod {pod['metadata']['name']}: {waiting['reason']}{exited}{said}")
    for condition in status.get("conditions") or []:
        if (
            condition.get("type") == "PodScheduled"
            and condition.get("status") == "False"
            and condition.get("message")
        ):
            return _shortened(f"pod {pod['metadata']['name']} is not scheduled: {condition['message']}")
    return ""


def _why_crashing(pod: Mapping[str, Any]) -> str:
    """That its container was started again after it had failed at once; or has just failed, and is not yet."""
    for container in _status(pod).get("containerStatuses") or []:
        ended = (container.get("state") or {}).get("terminated")
        ended = ended or (container.get("lastState") or {}).get("terminated") or {}
        if not (container.get("restartCount", 0) > 1 and ended.get("exitCode")):
            continue
        if not (ended.get("startedAt") and ended.get("finishedAt")):
            continue
        lasted = datetime.fromisoformat(ended["finishedAt"]) - datetime.fromisoformat(ended["startedAt"])
        if lasted < _SHORT_LIFE:
            name = pod["metadata"]["name"]
            return _shortened(
                f"pod {name}: its container {container['name']} fails as soon as it is started "
                f"(last exit code {ended['exitCode']}): see kubectl logs --previous {name}"
            )
    return ""


def _why_unready(pod: Mapping[str, Any], now: datetime) -> str:
    """That it is up and has not got to its work for long: mostly the broker does not let it in."""
    status = _status(pod)
    since = [
        one["lastTransitionTime"]
        for one in status.get("conditions") or []
        if one.get("type") == "Ready" and one.get("status") == "False" and one.get("lastTransitionTime")
    ]
    for container in status.get("containerStatuses") or []:
        started = ((container.get("state") or {}).get("running") or {}).get("startedAt")
        if not started:
            return ""
        since.append(started)
    if not since or pod["metadata"].get("deletionTimestamp"):
        return ""
    if now - max(map(datetime.fromisoformat, since)) < _LONGEST_UNREADY:
        return ""
    name = pod["metadata"]["name"]
    return _shortened(
        f"pod {name} is up and not ready for over a minute: its log says why (kubectl logs {name})"
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"
