"""The operator's permissions: exactly those that its tests run under, each with the reason for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from support.chart import CHART, ROOT, VALUES, Object, Rendered

NEEDED = ROOT / "tests" / "support" / "rbac.yaml"
RULES = CHART / "templates" / "operator" / "_rules.tpl"

PEOPLE = [
    {
        "apiGroups": ["jobrun.dev"],
        "resources": ["jobruns", "jobruns/status"],
        "verbs": ["get", "list", "watch"],
    },
    {
        "apiGroups": ["jobrun.dev"],
        "resources": ["jobruns"],
        "verbs": ["create", "update", "patch", "delete", "deletecollection"],
    },
]


def needed() -> dict[str, list[Object]]:
    """``namespaced`` and ``cluster``: what the operator's own tests are run with."""
    found: dict[str, list[Object]] = yaml.safe_load(NEEDED.read_text())
    return found


def bound(rendered: Rendered) -> dict[tuple[str, str | None], list[Object]]:
    """By (kind of role, namespace): the rules that are bound to the operator's ServiceAccount."""
    found: dict[tuple[str, str | None], list[Object]] = {}
    for binding in rendered:
        if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "jobrun", "namespace": "jobrun"}]
        place = binding["metadata"].get("namespace")
        role = rendered.one(binding["roleRef"]["kind"], binding["roleRef"]["name"], place)
        found.setdefault((role["kind"], place), []).extend(role["rules"])
    return found


def test_in_the_whole_cluster(render: Any) -> None:
    rules = needed()
    assert bound(render()) == {("ClusterRole", None): rules["namespaced"] + rules["cluster"]}


def test_in_watched_namespaces(render: Any) -> None:
    rules = needed()
    assert bound(render(VALUES["watched namespaces"])) == {
        ("Role", "team-a"): rules["namespaced"],
        ("Role", "team-b"): rules["namespaced"],
        ("ClusterRole", None): rules["cluster"],
    }


def test_roles_for_people_are_bound_to_nobody(render: Any) -> None:
    labels = "rbac.authorization.k8s.io/aggregate-to-"
    roles = [item for item in render() if any(name.startswith(labels) for name in item["metadata"]["labels"])]
    assert [role["rules"] for role in roles] == [[rule] for rule in PEOPLE]
    assert {role["metadata"]["name"] for role in roles} == {"jobrun:jobrun:view", "jobrun:jobrun:edit"}
    off = render({"rbac": {"aggregateToDefaultRoles": False}})
    assert len([item for item in off if item["kind"] == "ClusterRole"]) == 2


def test_none_where_it_is_given_otherwise(render: Any) -> None:
    assert not {kind for kind in render({"rbac": {"create": False}}).kinds() if "Role" in kind}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_no_wildcards_and_no_writing_of_secrets(render: Any, values: Any) -> None:
    rules = [rule for item in render(values) if item["kind"].endswith("Role") for rule in item["rules"]]
    assert all("*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"] for rule in rules)
    assert [rule["verbs"] for rule in rules if "secrets" in rule["resources"]] in (
        [],
        [["get"]],
        [["get"]] * 2,
    )


@pytest.mark.parametrize("path", [RULES, RULES.with_name("rbac.yaml")], ids=lambda path: path.name)
def test_each_rule_says_what_it_is_for(path: Path) -> None:
    lines = path.read_text().splitlines()
    starts = [number for number, line in enumerate(lines) if line.lstrip().startswith("- apiGroups:")]
    assert starts
    for number in starts:
        before = lines[number - 1].lstrip()
        assert before.startswith("#") or before == "rules:", f"{path.name}:{number + 1}"
