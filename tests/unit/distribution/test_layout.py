"""What the distribution promises by its shape."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_operator_folder_does_not_hide_the_standard_library() -> None:
    """With an ``__init__.py``, ``import operator`` from the checkout would find this folder."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    code = "import operator; operator.itemgetter; print(operator.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "operator"


def test_the_constraints_name_no_registry() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert all("==" in pin and "/" not in pin and "@" not in pin for pin in pins)


def test_every_dependency_is_pinned() -> None:
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    names = {canonicalize_name(Requirement(one).name) for one in wanted} - {"jobrun"}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {
        canonicalize_name(line.split("==")[0]) for line in lines if "==" in line and not line.startswith("#")
    }
    assert names <= pinned
