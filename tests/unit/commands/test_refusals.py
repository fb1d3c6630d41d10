"""What ``jobrun submit`` and ``jobrun results`` refuse without asking anybody: one message, and exit code 2."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobrun_operator import cli

MANIFEST = """\
apiVersion: jobrun.dev/v1alpha1
kind: JobRun
metadata: {name: backfill}
spec:
  tasks: {count: 1}
  worker: {image: "registry.example/push:1", python: "push:call"}
"""
NOWHERE = ("--nats-url", "nats://127.0.0.1:4")


@dataclass
class Ended:
    code: int
    stdout: str
    stderr: str


Command = Callable[..., Ended]


@pytest.fixture
def jobrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in this process, in a folder with a manifest and data."""
    (tmp_path / "run.yaml").write_text(MANIFEST)
    (tmp_path / "wrong.yaml").write_text(MANIFEST.replace("image:", "picture:"))
    (tmp_path / "ids.csv").write_text("id\n1\n")
    (tmp_path / "ids.txt").write_text("1\n")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("JOBRUN_", "KUBE"))]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["jobrun", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run.yaml", "--tasks", "none.csv"), "--tasks: there is no file none.csv"),
        (("run.yaml", "--tasks", "ids.txt"), "its name must end in one of .jsonl, .ndjson, .csv"),
        (("none.yaml", "--tasks", "ids.csv"), "none.yaml: there is no such file"),
        (("wrong.yaml", "--tasks", "ids.csv"), "wrong.yaml:6: spec.worker.picture"),
        (("run.yaml", "--tasks", "ids.csv", "--bucket", "a b"), "--bucket: 'a b' can't be a bucket"),
        (("run.yaml", "--tasks", "ids.csv"), "--nats-url: say where the cluster's broker is"),
        (
            ("run.yaml", "--tasks", "ids.csv", *NOWHERE, "--nats-creds", "x"),
            "--nats-creds: there is no file x",
        ),
        (
            ("run.yaml", "--tasks", "ids.csv", *NOWHERE, "--kubeconfig", "x"),
            "--kubeconfig: there is no file x",
        ),
    ],
)
def test_submit_refuses(jobrun: Command, arguments: tuple[str, ...], said: str) -> None:
    ended = jobrun("submit", *arguments)
    assert (ended.code, ended.stdout) == (2, "")
    assert said in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--nats-url: say where the cluster's broker is"),
        (("--data-dir", "none"), "--data-dir: none is no data directory of a run"),
        (("--data-dir", "."), "--data-dir: . is no data directory of a run"),
        (("--data-dir", ".", "--uid", "u"), "--uid: a data directory holds one run"),
        ((*NOWHERE, "--output", "none/out.jsonl"), "--output: there is no directory none"),
        ((*NOWHERE, "--nats-ca", "none.crt"), "--nats-ca: there is no file none.crt"),
    ],
)
def test_results_refuses(jobrun: Command, arguments: tuple[str, ...], said: str) -> None:
    ended = jobrun("results", "backfill", *arguments)
    assert (ended.code, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["ids.csv", "ids.txt", "run.yaml", "wrong.yaml"]


def test_no_kubeconfig_is_the_environments_fault(
    jobrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    ended = jobrun("submit", "run.yaml", "--tasks", "ids.csv", *NOWHERE)
    assert ended.code == 3
    assert "set KUBECONFIG or --kubeconfig" in ended.stderr


def test_the_way_to_the_broker_is_told_for_the_charts_own(jobrun: Command) -> None:
    said = jobrun("results", "backfill").stderr
    assert "kubectl port-forward service/jobrun-nats 4222" in said
    assert "jsonpath='{.data.client-password}'" in said
