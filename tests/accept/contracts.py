"""The core has no I/O, and both implementations of each port pass one suite."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from accept.bound import Bound, same

_ROOT = Path(__file__).parents[2]


def kept(folder: Path) -> Iterator[Bound]:
    """The import contracts of pyproject.toml."""
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line.strip() for line in lint.stdout.splitlines() if " KEPT" in line or " BROKEN" in line]
    for line in said:
        name, _, verdict = line.rpartition(" ")
        yield same(name, verdict, "KEPT")
    yield same("import contracts", lint.returncode, 0)
