"""Denials of RBAC, told from those of one object: by messages as the API server (1.36) gives them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobrun_operator.api import JobRun, JobRunStatus, Phase
from jobrun_operator.errors import JobRunError, NotAllowed
from jobrun_operator.kubernetes.budget import WriteBudget
from jobrun_operator.kubernetes.denials import REMEMBERED_SECONDS, Denials, Kind, denied_by_rbac
from jobrun_operator.kubernetes.restraint import LONGEST_SECONDS
from jobrun_operator.kubernetes.statuses import KubeStatuses
from support.engine_rig import manifest

WHO = 'User "system:serviceaccount:jobrun:jobrun"'
PATCH = (
    f'deployments.apps "backfill" is forbidden: {WHO} cannot patch resource "deployments" in API group "apps" '
    'in the namespace "shop"'
)
SCALE = Kind.of("PATCH", "/apis/apps/v1/namespaces/shop/deployments/backfill")

DENIALS = {
    PATCH: "patch deployments in namespace shop",
    f'pods is forbidden: {WHO} cannot list resource "pods" in API group "" at the cluster scope': "list pods",
    f'jobruns.jobrun.dev "a" is forbidden: {WHO} cannot update resource "jobruns/status" in API group "jobrun.dev" '
    'in the namespace "shop": RBAC: role "x" not found': "update jobruns/status in namespace shop",
    'deployments.apps "a" is forbidden: exceeded quota: few, requested: count/deployments.apps=1, used: '
    "count/deployments.apps=0, limited: count/deployments.apps=0": "",
    'pods "a" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true': "",
    'admission webhook "w.example" denied the request: you cannot patch resource "deployments" today': "",
    "unable to create new content in namespace shop because it is being terminated": "",
}


@pytest.mark.parametrize(("message", "told"), DENIALS.items())
def test_only_rbac_is_the_installations_own(message: str, told: str) -> None:
    assert denied_by_rbac(message) == told


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/v1/pods", Kind("GET", "pods", "", False)),
        ("/api/v1/namespaces/shop/pods", Kind("GET", "pods", "shop", False)),
        ("/api/v1/namespaces/kube-system", Kind("GET", "namespaces", "", True)),
        ("/apis/jobrun.dev/v1alpha1/namespaces/shop/jobruns/a", Kind("GET", "jobruns", "shop", True)),
        ("/apis/jobrun.dev/v1alpha1/namespaces/shop/jobruns/a/status", Kind("GET", "jobruns/status", "shop", True)),
        ("/version", Kind("GET", "discovery", "", False)),
    ],
)  # fmt: skip
def test_kinds(path: str, kind: Kind) -> None:
    assert Kind.of("GET", path) == kind


def test_a_denial_is_told_until_the_same_is_allowed() -> None:
    denials = Denials()
    denials.answered(SCALE, 403, PATCH, 0.0)
    assert "may not patch deployments in namespace shop" in denials.trouble(1.0)
    assert "ClusterRole" in denials.trouble(1.0)
    denials.answered(Kind.of("GET", "/api/v1/pods"), 200, "", 1.0)
    denials.answered(SCALE, 503, "", 1.0)
    assert denials.trouble(1.0), "another request, and one that did not get so far, say nothing of this one"
    denials.answered(SCALE, 403, "exceeded quota", 1.0)
    assert denials.trouble(1.0) == "", "what a quota denies was allowed by RBAC"


def test_what_is_not_tried_any_more_is_forgotten() -> None:
    denials = Denials()
    denials.answered(SCALE, 403, PATCH, 0.0)
    assert denials.trouble(REMEMBERED_SECONDS) == ""


def test_what_only_some_runs_need_is_told_by_those() -> None:
    denials = Denials()
    message = (
        f'secrets "a" is forbidden: {WHO} cannot get resource "secrets" in API group "" in the namespace "a"'
    )
    denials.answered(Kind.of("GET", "/api/v1/namespaces/a/secrets/a"), 403, message, 0.0)
    assert denials.trouble(0.0) == ""


def test_many_are_counted() -> None:
    denials = Denials()
    for number in range(5):
        path = f"/apis/apps/v1/namespaces/n{number}/deployments/a"
        denials.answered(Kind.of("PATCH", path), 403, PATCH.replace("shop", f"n{number}"), 0.0)
    assert "in namespace n2 and 2 more: see" in denials.trouble(0.0)


class DenyingApi:
    def __init__(self) -> None:
        self.asked: list[float] = []
        self.denies = True

    async def request(self, method: str, path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asyncio.get_running_loop().time())
        if self.denies:
            raise NotAllowed("no")
        return body


async def test_a_status_that_is_not_allowed_is_written_less_and_less_often_and_soon_after_it_is() -> None:
    api = DenyingApi()
    statuses = KubeStatuses(api, WriteBudget(20.0))  # type: ignore[arg-type]
    run: JobRun = manifest()
    told, progress = JobRunStatus(phase=Phase.RUNNING), run.status
    for _ in range(300):
        with pytest.raises(NotAllowed, match="no"):
            await statuses.write(run, told)
        assert await statuses.write(run, progress) is run
        await asyncio.sleep(1)
    assert 10 <= len(api.asked) <= 20
    api.denies = False
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() <= began + LONGEST_SECONDS:
        try:
            await statuses.write(run, told)
        except JobRunError:
            await asyncio.sleep(1)
        else:
            break
    assert (await statuses.write(run, told)).status.phase == Phase.RUNNING
