"""What Argo CD, Flux and kstatus make of a run in every phase, by the files that the documentation gives out.

Sources, compared with Argo CD 3.6 and the Flux packages of August 2026: argoproj/argo-cd ``util/lua/lua.go``
(``runLua``, ``ExecuteHealthLua``) and ``gitops-engine/pkg/health/health.go`` (``GetResourceHealth``); fluxcd/pkg
``runtime/cel/status_evaluator.go`` (``Evaluate``, RFC 0009) and ``ssa/manager_wait.go``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cel
import pytest
import yaml
from lupa import lua51

from support.kstatus import compute
from support.run_statuses import Captured, captured

GITOPS = Path(__file__).parents[3] / "docs" / "gitops"
ARGO = yaml.safe_load((GITOPS / "argocd-cm.yaml").read_text())["data"]
FLUX = yaml.safe_load((GITOPS / "flux-kustomization.yaml").read_text())["spec"]["healthCheckExprs"]

CASES = {one.name: one for one in captured()}
P, I = "Progressing", "InProgress"  # noqa: E741  # a table
EXPECTED = {
    #                            Argo CD      Flux        kstatus alone
    "just created": (P, None, "Current"),
    "pending": (P, I, I),
    "pending, source missing": (P, I, I),
    "started": (P, I, "Current"),
    "running": (P, I, "Current"),
    "running, held": (P, I, "Current"),
    "running, broker away": (P, I, I),
    "running, edited just now": (P, I, I),
    "suspended": ("Suspended", I, I),
    "resumed": (P, I, "Current"),
    "completed": ("Healthy", "Current", "Current"),
    "completed with failures": ("Healthy", "Current", "Current"),
    "completed, edited later": ("Healthy", I, I),
    "failing": ("Degraded", "Failed", I),
    "failed": ("Degraded", "Failed", "Failed"),
    "failed before it began": ("Degraded", "Failed", "Failed"),
}


def argo_health(item: dict[str, Any]) -> tuple[str, str]:
    """As Argo CD runs it: Lua 5.1 with the libraries base and table and a part of os (kept from it here), ``obj`` as
    a global. What is being deleted is never shown to a script."""
    if item["metadata"].get("deletionTimestamp"):
        return "Progressing", "Pending deletion"
    runtime = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    for library in ("string", "math", "io", "os", "debug", "package", "coroutine", "require", "python"):
        runtime.globals()[library] = None
    runtime.globals()["obj"] = runtime.table_from(item, recursive=True)
    answer = runtime.execute(ARGO["resource.customizations.health.jobrun.dev_JobRun"])
    return str(answer["status"]), str(answer["message"])


def flux_status(item: dict[str, Any]) -> str | None:
    """As Flux evaluates it: generation, then in progress, failed, current.

    None: an expression can't be evaluated; the status is then Unknown, which Flux waits on, and names at a time-out.
    """
    status = item.get("status", {})
    if status.get("observedGeneration", item["metadata"]["generation"]) != item["metadata"]["generation"]:
        return "InProgress"
    (check,) = FLUX
    for name, result in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
        try:
            if name in check and cel.evaluate(check[name], item):
                return result
        except (RuntimeError, ValueError):
            return None
    return "InProgress"


def test_every_status_is_in_the_table() -> None:
    assert set(CASES) == set(EXPECTED)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_argo_cd(case: Captured) -> None:
    assert argo_health(case.object)[0] == EXPECTED[case.name][0]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_flux(case: Captured) -> None:
    assert flux_status(case.object) == EXPECTED[case.name][1]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kstatus(case: Captured) -> None:
    assert compute(case.object) == EXPECTED[case.name][2]


@pytest.mark.parametrize("name", ["running", "completed", "failed"])
def test_what_is_being_deleted(name: str) -> None:
    item = CASES[name].object
    deleted = {**item, "metadata": {**item["metadata"], "deletionTimestamp": "2026-06-01T12:00:00Z"}}
    assert argo_health(deleted) == ("Progressing", "Pending deletion")
    assert flux_status(deleted) == EXPECTED[name][1]
    assert compute(deleted) == "Terminating"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("just created", "waiting for the operator of JobRun"),
        ("pending, source missing", "there is no ConfigMap default/ids (yet)"),
        ("running, broker away", "no answer from the broker"),
        ("running, edited just now", "waiting for the operator to see the last change"),
        ("failing", "11 tasks failed, more than maxFailedTasks: 10"),
        ("completed with failures", "3 of 1000 tasks failed; the others succeeded"),
    ],
)
def test_argo_cd_says_why(name: str, message: str) -> None:
    assert argo_health(CASES[name].object)[1] == message


def test_progress_is_no_news_to_argo_cd() -> None:
    """A new message would not refresh the application, and so be old wherever it is shown."""
    assert argo_health(CASES["started"].object) == argo_health(CASES["running"].object)


def test_status_updates_are_ignored_by_argo_cd() -> None:
    ignored = yaml.safe_load(ARGO["resource.customizations.ignoreResourceUpdates.jobrun.dev_JobRun"])
    assert ignored == {"jsonPointers": ["/status"]}


def test_the_checks_are_for_the_kind_that_the_crd_defines() -> None:
    (check,) = FLUX
    running = CASES["running"].object
    assert (check["apiVersion"], check["kind"]) == (running["apiVersion"], running["kind"])
    group = running["apiVersion"].partition("/")[0]
    assert all(key.endswith(f".{group}_{running['kind']}") for key in ARGO)
