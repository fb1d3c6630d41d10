"""A kind cluster with the images and the chart of this checkout, for a session; skipped where there is no Docker."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("kind.sh")
UP_SECONDS = 1200
"""Images are built, and pulled by the cluster."""
COMMAND_SECONDS = 600


def environment(kubeconfig: Path) -> dict[str, str]:
    """With the commands of this checkout. Skips the test where there can be no cluster."""
    if reason := missing():
        pytest.skip(reason)
    path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "KUBECONFIG": str(kubeconfig)}


@dataclass(frozen=True)
class Kind:
    """The cluster, by the commands that a person types."""

    env: dict[str, str]

    def run(self, command: str, *, seconds: float = COMMAND_SECONDS) -> str:
        """Standard output of a shell command at the root of the repository. Fails where the command does."""
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout[-4000:]}\n{ended.stderr[-8000:]}"
        return ended.stdout


def missing() -> str:
    """Why there can be no cluster here; empty where there can."""
    tools = [tool for tool in ("docker", "kind", "kubectl", "helm") if shutil.which(tool) is None]
    if tools:
        return f"no {', '.join(tools)} here, which a cluster of kind needs"
    docker = subprocess.run(["docker", "info"], capture_output=True, timeout=60, check=False)
    return "no Docker engine runs here (docker info)" if docker.returncode else ""


@pytest.fixture
def no_cluster(tmp_path: Path) -> Iterator[Kind]:
    """Where ``kind create cluster`` makes one of another name, which is gone after the test."""
    env = environment(tmp_path / "kubeconfig") | {"KIND_CLUSTER_NAME": f"jobrun-readme-{os.getpid()}"}
    try:
        yield Kind(env)
    finally:
        subprocess.run(["kind", "delete", "cluster"], env=env, timeout=COMMAND_SECONDS, check=False)


@pytest.fixture(scope="session")
def kind() -> Iterator[Kind]:
    kubeconfig = ROOT / "build" / "e2e" / "kubeconfig"
    env = environment(kubeconfig) | {"CLUSTER": f"jobrun-e2e-{os.getpid()}"}
    cluster = Kind(env)
    try:
        cluster.run(f"{SCRIPT} up", seconds=UP_SECONDS)
        yield cluster
        cluster.run(f"{SCRIPT} state")
    finally:
        subprocess.run([SCRIPT, "down"], env=env, cwd=ROOT, timeout=COMMAND_SECONDS, check=False)
