"""``python helm/generate.py [--check]``: makes what the chart has of other files, and its reference.

Two files: the CRD in the chart, a copy of the one in ``crds/`` (a chart can't read beyond its own folder), and
``docs/chart-values.md``, from the comments of ``values.yaml`` and from what the chart renders as the broker's
configuration. With ``--check`` nothing is written, and what is out of date ends the command with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "jobrun"
CRD = Path("jobrun.dev_jobruns.yaml")
DOCS = ROOT / "docs" / "chart-values.md"

_HEAD = """\
<!-- Made by `python helm/generate.py` from helm/jobrun: change the chart, not this file. -->

# Values of the chart

    helm install jobrun helm/jobrun --namespace jobrun --create-namespace --values my-values.yaml

A value that is not in the table is refused, as is one of the wrong kind.

| value | default | meaning |
|---|---|---|
"""

_BROKER = """
## The login of workers

Workers run next to their JobRun, and log in to the broker with a Secret there. The operator can't write Secrets, so the
chart puts it into the namespace of the release, into those of `watchNamespaces`, and into those of
`nats.workerSecret.namespaces`. Into another one it is copied so (release and namespace `jobrun`):

    worker=$(kubectl -n jobrun get secret jobrun-nats-auth -o jsonpath='{.data.worker-password}' | base64 -d)
    kubectl -n TEAM create secret generic jobrun-nats-worker \\
      --from-literal=username=worker --from-literal=password="$worker"

## Several releases in a cluster

A run is of one release, so each release needs namespaces of its own, and one of them brings the definition:

    helm install jobrun helm/jobrun -n jobrun --create-namespace --set 'watchNamespaces={team-a}'
    helm install jobrun helm/jobrun -n other --create-namespace --set 'watchNamespaces={team-b},crds.install=false'

`helm install` and `helm upgrade` refuse a release that watches what another one watches, which they know by its Role or
ClusterRole. `helm template` and Argo CD don't ask the cluster, nor does a release with `rbac.create=false`: there it is
yours to see to.

## Without a cluster at rendering

Argo CD and `helm template` render without asking the cluster, and would make new passwords every time. Make the Secrets
first, and say so with `nats.auth.existingSecret: jobrun-nats-auth`:

    password() { printf p; head -c 200 /dev/urandom | base64 | tr -dc 'a-zA-Z0-9' | head -c 40; }
    worker=$(password)
    kubectl -n jobrun create secret generic jobrun-nats-auth --from-literal=operator-password="$(password)" \\
      --from-literal=worker-password="$worker" --from-literal=client-password="$(password)"
    kubectl -n TEAM create secret generic jobrun-nats-worker \\
      --from-literal=username=worker --from-literal=password="$worker"

## TLS of the included broker

`nats.tls.secretName` names a Secret of the type `kubernetes.io/tls`, in the namespace of the release, with a
certificate for the name of the Service (`jobrun-nats.jobrun.svc`); `nats.tls.ca` is who signed it. nats-server reads
the certificate when it starts: a renewed one, as from cert-manager, is used after

    kubectl -n jobrun rollout restart statefulset/jobrun-nats

Do so before the old one expires. Nothing is lost meanwhile, and operator and workers connect again by themselves.

## What the operator fetches

Who may create JobRuns may have the operator fetch an address: `spec.tasks.http.url`, with up to ten redirects and
with the entries of a Secret of their namespace as headers. It is fetched from the operator's pod, and what comes back
becomes tasks, which their workers see. So it reaches what that pod reaches: services in the cluster, and the metadata
service of a cloud, which hands out the node's credentials. The chart's network policies say who may connect to the
operator, and nothing of where it connects to. One of your own does (with a network plugin that keeps it), for a
release and namespace `jobrun`:

```yaml
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: jobrun-egress, namespace: jobrun}
spec:
  podSelector:
    matchLabels: {app.kubernetes.io/instance: jobrun, app.kubernetes.io/component: operator}
  policyTypes: [Egress]
  egress:
    - to:
        - ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32, 169.254.170.0/24]}
        - ipBlock: {cidr: "::/0", except: ["fd00:ec2::/32"]}
```

Where tasks never come by HTTP from elsewhere, allow the API server, the broker and DNS, and no more.

## Users of the broker

The included broker has three users, each with the permissions that it needs and no others. On a broker of your own,
give JobRun an account of its own (a wildcard of NATS can't stand for a part of a stream's name, so permissions can't
tell JobRun's streams from others in the same account), and in it users with these permissions. With another
`settings.prefix`, replace `jobrun` in the subjects.

"""


@dataclass(frozen=True, slots=True)
class Row:
    path: str
    default: str
    """As YAML in one line; empty for a group of values."""
    meaning: str


def rows(text: str) -> list[Row]:
    """The values of ``values.yaml`` in their order. Raises ValueError for one without a comment."""
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(document, yaml.MappingNode):
        raise ValueError("values.yaml is not a mapping")
    found = list(_rows(document, (), text.splitlines()))
    bare = [row.path for row in found if not row.meaning and row.default]
    if bare:
        raise ValueError(f"no comment above {', '.join(bare)} in values.yaml")
    return [row for row in found if row.meaning]


def _rows(node: yaml.MappingNode, above: tuple[str, ...], lines: Sequence[str]) -> Iterator[Row]:
    for key, value in node.value:
        path, comment = (*above, key.value), _comment(lines, key.start_mark.line, key.start_mark.column)
        if isinstance(value, yaml.MappingNode) and _is_group(value, lines):
            yield Row(".".join(path), "", comment)
            yield from _rows(value, path, lines)
        else:
            default = yaml.SafeLoader("").construct_object(value, deep=True)
            yield Row(".".join(path), _one_line(default), comment)


def _is_group(node: yaml.MappingNode, lines: Sequence[str]) -> bool:
    """Whether the entries are values of their own, with comments, rather than one value together."""
    return any(
        _comment(lines, key.start_mark.line, key.start_mark.column)
        or (isinstance(value, yaml.MappingNode) and _is_group(value, lines))
        for key, value in node.value
    )


def _comment(lines: Sequence[str], line: int, column: int) -> str:
    """What stands right above, at the same indentation."""
    found: list[str] = []
    start = " " * column + "#"
    while line and lines[line - 1].startswith(start):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("#").strip())
    return " ".join(found)


def _one_line(default: Any) -> str:
    return json.dumps(default, ensure_ascii=False)


def reference() -> str:
    """``docs/chart-values.md``."""
    table = "".join(
        f"| {_code(row.path)} | {_code(row.default)} | {_cell(row.meaning)} |\n"
        for row in rows((CHART / "values.yaml").read_text(encoding="utf-8"))
    )
    return f"{_HEAD}{table}{_BROKER}{_users()}"


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _users() -> str:
    """The part of the broker's configuration that says who may do what, as a code block."""
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(name="jobrun", namespace="jobrun")
    config: str = yaml.safe_load(rendered["jobrun/templates/nats/configmap.yaml"])["data"]["nats.conf"]
    block = config[config.index("\nauthorization {") + 1 :]
    return textwrap.indent(block.rstrip() + "\n", "    ", lambda line: bool(line.strip()))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python helm/generate.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, report what is out of date")
    check = parser.parse_args(arguments).check
    files = {
        CHART / "files" / CRD: (ROOT / "crds" / CRD).read_text(encoding="utf-8"),
        DOCS: reference(),
    }
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in stale:
        if check:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date: run `python helm/generate.py`\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
