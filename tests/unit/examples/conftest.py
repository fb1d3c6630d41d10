"""Modules of examples, imported as a worker imports them: with the directory of their manifest first on the path."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def example() -> Iterator[Callable[[str, str], ModuleType]]:
    """``example(directory, module)``; the environment's DAYLIGHT_* are not those of tests."""
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("DAYLIGHT_")]:
        patch.delenv(name)
    patch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def imported(directory: str, module: str) -> ModuleType:
        sys.path.insert(0, str(EXAMPLES / directory))
        return importlib.import_module(module)

    yield imported
    patch.undo()
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(EXAMPLES):
            del sys.modules[name]
