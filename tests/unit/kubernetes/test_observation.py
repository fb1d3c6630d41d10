"""What is seen of workers in a Deployment and its pods: never fewer than there are, and why there are too few."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from jobrun_operator.engine.ports import WorkersState
from jobrun_operator.kubernetes.observation import kept_of_pod, workers_state

Object = dict[str, Any]
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def deployment(
    replicas: int, *, exist: int | None = None, seen: bool = True, first: bool = False, **status: Any
) -> Object:
    """``exist``: pods that the status counts. ``seen``: the status is of this spec. ``first``: of no spec yet."""
    observed = 0 if first else 2 if seen else 1
    counted = replicas if exist is None else exist
    return {
        "metadata": {"generation": 1 if first else 2},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": observed, "replicas": counted, **status},
    }


def pod(
    *, ready: bool = True, phase: str = "Running", leaving: bool = False, waiting: Object | None = None
) -> Object:
    meta: Object = {"name": "a-1", "uid": "1", "labels": {}}
    if leaving:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status: Object = {
        "phase": phase,
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    if waiting is not None:
        status["containerStatuses"] = [{"name": "worker", "state": {"waiting": waiting}}]
    return {"metadata": meta, "status": status, "spec": {"large": True}}


@pytest.mark.parametrize(
    ("deployments", "pods", "expected"),
    [
        ([], [], WorkersState()),
        ([deployment(2)], [pod(), pod()], WorkersState(2, 2, 2)),
        ([deployment(2)], [pod(), pod(ready=False)], WorkersState(2, 2, 1)),
        # Scaled down, and one still drains: it runs, and is not ready any more.
        ([deployment(0, exist=0)], [pod(leaving=True)], WorkersState(0, 1, 0)),
        # Scaled down, and the controller has not seen it: it may be about to make the pod of before.
        ([deployment(0, exist=0, seen=False)], [], WorkersState(0, 1, 0)),
        ([deployment(0, exist=0)], [], WorkersState(0, 0, 0)),
        # Just made, with none: there is none.
        ([deployment(0, exist=0, first=True)], [], WorkersState(0, 0, 0)),
        # The status counts a pod that the pods' watch has not told yet.
        ([deployment(1, exist=1)], [], WorkersState(1, 1, 0)),
        # A roll: one more than wanted for a while.
        ([deployment(1, exist=2)], [pod(), pod()], WorkersState(1, 2, 1)),
        # Pods that have ended don't run.
        ([deployment(1)], [pod(phase="Failed"), pod(phase="Succeeded"), pod()], WorkersState(1, 1, 1)),
        # The Deployment was removed; what it made is still there.
        ([], [pod(leaving=True)], WorkersState(0, 1, 0)),
    ],
)
def test_numbers(deployments: list[Object], pods: list[Object], expected: WorkersState) -> None:
    assert workers_state(deployments, pods, NOW) == expected
    assert workers_state(deployments, [kept_of_pod(one) for one in pods], NOW) == expected


REFUSED = {
    "conditions": [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    ]
}


@pytest.mark.parametrize(
    ("deployments", "pods", "says"),
    [
        ([deployment(1, **REFUSED)], [], "exceeded quota"),
        (
            [deployment(1)],
            [pod(ready=False, waiting={"reason": "ImagePullBackOff", "message": "no such tag"})],
            "no such tag",
        ),
        ([deployment(1)], [pod(ready=False, waiting={"reason": "ContainerCreating"})], ""),
        # One that works is worth more than another's trouble.
        ([deployment(2)], [pod(), pod(ready=False, waiting={"reason": "CrashLoopBackOff"})], ""),
    ],
)
def test_why_not(deployments: list[Object], pods: list[Object], says: str) -> None:
    error = workers_state(deployments, pods, NOW).error
    assert says in error if says else not error


def unready(*, ready_lost: str, started: str | None = None, leaving: bool = False) -> Object:
    made = pod(ready=False, leaving=leaving)
    made["status"]["conditions"][0]["lastTransitionTime"] = f"2026-01-01T{ready_lost}Z"
    state = {"running": {"startedAt": f"2026-01-01T{started}Z"}} if started else {"waiting": {"reason": "X"}}
    made["status"]["containerStatuses"] = [{"name": "worker", "state": state}]
    return made


@pytest.mark.parametrize(
    ("pods", "says"),
    [
        (
            [unready(ready_lost="11:58:59", started="11:58:00")],
            "pod a-1 is up and not ready for over a minute",
        ),
        ([unready(ready_lost="11:59:01", started="11:00:00")], ""),
        # Its image took long, or it was started again: that is not its being up.
        ([unready(ready_lost="11:00:00", started="11:59:01")], ""),
        ([unready(ready_lost="11:00:00")], ""),
        ([unready(ready_lost="11:00:00", started="11:00:00", leaving=True)], ""),
        ([unready(ready_lost="11:00:00", started="11:00:00"), pod()], ""),
    ],
)
def test_up_and_never_ready(pods: list[Object], says: str) -> None:
    error = workers_state([deployment(2)], [kept_of_pod(one) for one in pods], NOW).error
    assert says in error if says else not error


def crashed(
    *, lasted: str = "00:02", restarts: int = 2, code: int = 2, ready: bool = False, again: bool = True
) -> Object:
    """Ended after ``lasted``, and ``again`` at work since a second, or not yet."""
    made = pod(ready=ready)
    ended = {
        "terminated": {
            "exitCode": code,
            "startedAt": "2026-01-01T11:00:00Z",
            "finishedAt": f"2026-01-01T11:{lasted}Z",
        }
    }
    state = {"running": {"startedAt": "2026-01-01T11:59:59Z"}} if again else ended
    container = {"name": "worker", "restartCount": restarts, "state": state}
    made["status"]["containerStatuses"] = [container | ({"lastState": ended} if again else {})]
    return made


@pytest.mark.parametrize(
    ("pods", "says"),
    [
        ([crashed()], "pod a-1: its container worker fails as soon as it is started (last exit code 2)"),
        ([crashed(again=False)], "(last exit code 2)"),
        # Let in by the broker, or beside one that is: it works.
        ([crashed(ready=True)], ""),
        ([crashed(), pod()], ""),
        # One failure makes no loop, nor does one after a good while, nor an end that was meant.
        ([crashed(restarts=1)], ""),
        ([crashed(lasted="01:02")], ""),
        ([crashed(code=0)], ""),
    ],
)
def test_a_crash_loop_is_told_also_while_its_container_is_up(pods: list[Object], says: str) -> None:
    error = workers_state([deployment(2)], [kept_of_pod(one) for one in pods], NOW).error
    assert says in error if says else not error


def test_memory_of_a_pod_is_small() -> None:
    assert "spec" not in kept_of_pod(pod())
