"""One name for each image, wherever it is built, asked for or spoken of."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "helm" / "jobrun"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SPOKEN_OF = [
    ROOT / "README.md",
    ROOT / "Dockerfile",
    ROOT / "tests" / "e2e" / "kind.sh",
    *sorted((ROOT / "examples").rglob("*")),
    *sorted((ROOT / "docs").glob("*.md")),
]
EXAMPLES = sorted((ROOT / "examples").glob("*/jobrun.yaml"))


def built() -> list[str]:
    """The commands of ``make images``."""
    command = ["make", "--no-print-directory", "--dry-run", "images"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.replace("\\\n", " ").splitlines()


def asked_for(target: str) -> str:
    """By the chart, for an operator; the image of workers is next to it."""
    repository: str = loaded(CHART / "values.yaml")["image"]["repository"]
    assert repository.endswith("/operator")
    return f"{repository.removesuffix('operator')}{target}:{loaded(CHART / 'Chart.yaml')['appVersion']}"


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_make_builds_what_the_chart_asks_for() -> None:
    (loop,) = built()
    assert f"--tag {asked_for('$target')} " in loop
    assert f"--build-arg VERSION={VERSION} " in loop


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = loaded(CHART / "Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


def test_no_other_name_is_spoken_of() -> None:
    known = {asked_for("operator"), asked_for("worker")}
    for path in SPOKEN_OF:
        if path.suffix not in ("", ".md", ".sh", ".yaml") or not path.is_file():
            continue
        text = path.read_text()
        assert set(re.findall(r"ghcr\.io/[\w./-]+:[\w.-]*\w", text)) <= known, path
        assert not re.search(r"FROM jobrun-|--tag jobrun-|-t jobrun-", text), path


@pytest.mark.parametrize("manifest", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_has_its_image(manifest: Path) -> None:
    dockerfile = (manifest.parent / "Dockerfile").read_text()
    image = loaded(manifest)["spec"]["worker"]["image"]
    assert f"docker build --tag {image} {manifest.parent.relative_to(ROOT)}\n" in dockerfile
    assert f"ARG WORKER={asked_for('worker')}\n" in dockerfile
    (copied,) = re.findall(r"(?m)^COPY (.+) /app/$", dockerfile)
    code = {path.name for path in manifest.parent.iterdir() if path.suffix in (".py", ".sh")}
    assert set(copied.split()) == code
