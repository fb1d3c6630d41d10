"""The core has no I/O, and the implementations of each port pass one suite."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from accept.bound import Bound, at_least, same, told

_ROOT = Path(__file__).parents[2]

_HOLDS_TO_A_SUITE = re.compile(r"^class \w+\(\w+Conformance\):|\bbench: Bench\b", re.MULTILINE)

SUITES: Mapping[str, Sequence[str]] = {
    "WorkStreams, Observer, Publisher": (
        "jetstream/broker/test_delivery.py",
        "jetstream/broker/test_outcomes.py",
        "jetstream/broker/test_release.py",
        "jetstream/broker/test_streams.py",
    ),
    "Workers": ("local/processes/test_workers_port.py",),
    "Objects, ConfigMaps, Secrets": (
        "unit/tasks/test_memory_ports.py",
        "jetstream/test_objects.py",
        "cluster/test_configs.py",
    ),
    "Audit, LiveStatus, StatusWriter, Events": (
        "unit/engine/test_memory_reports.py",
        "unit/local_store/test_store.py",
        "jetstream/broker/test_reports_conformance.py",
        "cluster/test_reports.py",
    ),
}
"""Tests of the suite, by ports: in memory, and of what is real."""


def kept(folder: Path) -> Iterator[Bound]:
    """The import contracts of pyproject.toml, and the suites of the ports."""
    yield from _imports()
    yield same("files of a suite that are not listed here", sorted(_unlisted()), [])
    for ports, files in SUITES.items():
        yield from _suite(ports, files, folder / "report.xml")


def _imports() -> Iterator[Bound]:
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


def _unlisted() -> Iterator[str]:
    listed = {file for files in SUITES.values() for file in files}
    for path in (_ROOT / "tests").rglob("test_*.py"):
        name = path.relative_to(_ROOT / "tests").as_posix()
        if _HOLDS_TO_A_SUITE.search(path.read_text()) and name not in listed:
            yield name


def _suite(ports: str, files: Sequence[str], report: Path) -> Iterator[Bound]:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *(f"tests/{file}" for file in files)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        yield Bound(f"{ports}: exit code", f"{ran.returncode}: {ran.stdout[-400:]}", "0", False)
        return
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314 - written by pytest just now
        for name in counts:
            counts[name] += int(suite.get(name, "0"))
    passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    yield at_least(f"{ports}: tests that passed", passed, 1)
    yield same(f"{ports}: failed", counts["failures"] + counts["errors"], 0)
    if counts["skipped"]:
        yield told(f"{ports}: skipped, without a real API server", f"{counts['skipped']}")
