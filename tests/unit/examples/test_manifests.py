"""Every example's manifest loads, and its handler is there and does what its README says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from math import prod
from pathlib import Path
from types import ModuleType

import pytest

from jobrun_operator.manifest import load_manifest
from jobrun_worker import Task
from jobrun_worker.handlers.command import CommandHandler

EXAMPLES = Path(__file__).parents[3] / "examples"
MANIFESTS = sorted(EXAMPLES.glob("*/jobrun.yaml"))


@pytest.mark.parametrize("local", [True, False], ids=["local", "cluster"])
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_manifest_loads(path: Path, local: bool, example: Callable[[str, str], ModuleType]) -> None:
    run = load_manifest(path, local=local)
    assert run.metadata.name == path.parent.name
    if run.spec.worker.python:
        module, _, function = run.spec.worker.python.partition(":")
        assert callable(getattr(example(path.parent.name, module), function))


def test_readme_names_every_example() -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert MANIFESTS
    for path in MANIFESTS:
        assert f"jobrun local run examples/{path.parent.name}/jobrun.yaml" in readme


def test_hello_greets(example: Callable[[str, str], ModuleType]) -> None:
    assert example("hello", "hello").greet({"name": "Ada"}) == {"greeting": "Hello, Ada!"}


@pytest.mark.parametrize("index", [0, 7, 199])
def test_shell_factors(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES / "shell")
    exec_ = load_manifest(EXAMPLES / "shell" / "jobrun.yaml", local=True).spec.worker.exec
    assert exec_ is not None
    task = Task(index, 1, "shell", "default", f"uid-{index}")
    command = CommandHandler(exec_.command, retain=True)
    result = json.loads(asyncio.run(command(json.dumps({"index": index}).encode(), task)))
    assert result["number"] == 1_000_000_000 + index == prod(result["factors"])
    assert result["factors"] == sorted(result["factors"])
