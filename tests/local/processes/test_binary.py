"""Which nats-server is taken, and why another is refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from jobrun_operator.errors import EnvironmentFault
from jobrun_operator.local import binary
from jobrun_operator.local.binary import check_version, find_nats_server
from jobrun_operator.local.broker import EmbeddedBroker


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


async def test_an_old_server_is_refused_by_its_version(tmp_path: Path) -> None:
    old = script(tmp_path / "nats-server", 'echo "nats-server: v2.11.9"')
    with pytest.raises(EnvironmentFault, match=r"is nats-server v2\.11\.9; JobRun needs 2\.12 or later"):
        await EmbeddedBroker(tmp_path / "data", binary=old).start()


@pytest.mark.parametrize(
    ("body", "message"),
    [("echo usage: something else", "does not name a version"), ("exec sleep 1000", "did not answer")],
)
async def test_another_program_of_the_name_is_refused(
    body: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "VERSION_SECONDS", 0.2 if "sleep" in body else 10)
    with pytest.raises(EnvironmentFault, match=message):
        await check_version(script(tmp_path / "nats-server", body))


async def test_one_that_can_not_be_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="can't be run: No such file"):
        await check_version(tmp_path / "absent")


async def test_the_installed_server_is_found_and_its_version_told() -> None:
    assert re.fullmatch(r"v2\.\d+\.\d+\S*", await check_version(find_nats_server()))


def test_without_one_beside_python_path_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(EnvironmentFault, match=r"pip install 'jobrun\[local\]'"):
        find_nats_server()
    (tmp_path / "bin").mkdir()
    server = script(tmp_path / "bin" / "nats-server", "")
    assert find_nats_server() == server
