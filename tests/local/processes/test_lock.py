"""The data directory: one process at a time, never somebody else's, and an identity that stays."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobrun_operator.errors import EnvironmentFault, InputError
from jobrun_operator.local.lock import DataDirectory

HOLDER = """
import os, subprocess, sys
from pathlib import Path
from jobrun_operator.local.lock import DataDirectory
directory = DataDirectory.open(Path(sys.argv[1]))
if sys.argv[2:]:  # ends at once, but leaves somebody who holds the lock until standard input ends
    subprocess.Popen(["sh", "-c", "read line"], pass_fds=[directory.fileno()])
    os._exit(0)
print("locked", flush=True)
sys.stdin.read()
"""


def holder(data: Path, *leave: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HOLDER, str(data), *leave]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_the_installation_stays_the_same(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    with DataDirectory.open(data) as directory:
        first = directory.installation
        assert directory.path == data
    with DataDirectory.open(data) as directory:
        assert directory.installation == first
    with DataDirectory.open(tmp_path / "other") as other:
        assert other.installation != first


def test_one_that_another_process_uses_is_refused_by_its_id(tmp_path: Path) -> None:
    with holder(tmp_path / "data") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(EnvironmentFault, match=rf"in use by process {process.pid}:"):
            DataDirectory.open(tmp_path / "data")
        process.communicate(b"")
    DataDirectory.open(tmp_path / "data").close()


def test_it_waits_for_what_a_killed_process_left(tmp_path: Path) -> None:
    with holder(tmp_path / "data", "leave") as process, ThreadPoolExecutor(1) as thread:
        process.wait()
        opening = thread.submit(DataDirectory.open, tmp_path / "data")
        with pytest.raises(TimeoutError):
            opening.result(timeout=0.2)
        assert process.stdin is not None
        process.stdin.close()
        opening.result(timeout=30).close()


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path / "data")
    directory.close()
    directory.close()


def test_a_first_start_that_was_killed_in_between_is_taken_up(tmp_path: Path) -> None:
    for name in ("lock", ".gitignore", "installation.new"):
        (tmp_path / name).write_text("1")
    with DataDirectory.open(tmp_path) as directory:
        assert len(directory.installation) == 36


def test_a_directory_with_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"^--data-dir: .*is not a data directory.*'thesis.tex'"):
        DataDirectory.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("below", ["", "data"])
def test_a_file_is_refused(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^--data-dir: .* is a file"):
        DataDirectory.open(tmp_path / "file" / below)


def test_where_nothing_can_be_written_it_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--data-dir: /proc/jobrun can't be used"):
        DataDirectory.open(Path("/proc/jobrun"))
