"""What is taken for a command of README.md."""

from __future__ import annotations

from e2e.readme import cluster_commands

TEXT = """\
# JobRun

    kubectl not here

## On Kubernetes

Install it:

    helm install jobrun helm/jobrun \\
        --namespace jobrun     # with all that it needs
    cd jobrun
    kubectl get jobruns -w

```yaml
kubectl: no command
```

```sh
kubectl apply -f backfill.yaml
$ jobrun results backfill
kubectl port-forward service/jobrun-nats 4222 &
```

## Limits

    kubectl neither
"""


def test_commands_of_the_sections_on_kubernetes() -> None:
    assert cluster_commands(TEXT) == [
        "helm install jobrun helm/jobrun --namespace jobrun",
        "kubectl apply -f backfill.yaml",
        "jobrun results backfill",
    ]
