"""A local mode that is killed leaves no process behind, and its directory free for the next start."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrun_operator.local import tether
from jobrun_operator.local.keeper import VARIABLE, kill_marked, marked, new_marker, sweep
from jobrun_operator.local.lock import DataDirectory
from jobrun_worker.settings import ENV_PREFIX
from local.processes.helpers import BOUND_SECONDS

STEPS = ["locked", "keeper", "broker", "asked for 2", "ready 2", "asked for 1", "ready 1", "asked for 3"]


@pytest.fixture
def marker() -> Iterator[str]:
    """Carried by everything below the local mode that a test starts, and by the local mode."""
    marker = new_marker({})
    yield marker
    assert sweep(marker)


@pytest.fixture
def local_run(marker: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environ = os.environ | {VARIABLE: marker, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(Path(__file__).with_name("local_run.py")), str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, start_new_session=True) as process:
        yield process
        process.kill()


def said(process: subprocess.Popen[bytes], step: str) -> str:
    """Waits until ``process`` has said ``step``: the whole line."""
    assert process.stdout is not None
    deadline = time.monotonic() + BOUND_SECONDS
    while select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
        line = process.stdout.readline().decode().strip()
        if line.startswith(step):
            return line
        assert line, f"it ended before {step!r}"
    pytest.fail(f"never said {step!r}")


def assert_all_gone(marker: str, data: Path) -> None:
    """The lock is the signal: the keeper holds it until nothing is left."""
    with DataDirectory.open(data):
        assert list(marked(marker)) == []


@pytest.mark.parametrize("step", STEPS)
def test_killed_after_each_step(
    step: str, local_run: subprocess.Popen[bytes], marker: str, tmp_path: Path
) -> None:
    said(local_run, step)
    local_run.kill()
    assert_all_gone(marker, tmp_path / "data")


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_with_its_whole_group(
    seed: int, local_run: subprocess.Popen[bytes], marker: str, tmp_path: Path
) -> None:
    said(local_run, "locked")
    with pytest.raises(subprocess.TimeoutExpired):
        local_run.wait(timeout=random.Random(seed).uniform(0.0, 1.0))
    os.killpg(local_run.pid, signal.SIGKILL)
    assert_all_gone(marker, tmp_path / "data")


def test_without_its_keeper_what_it_started_itself_still_ends(
    local_run: subprocess.Popen[bytes], marker: str, tmp_path: Path
) -> None:
    keeper = int(said(local_run, "keeper").split()[1])
    said(local_run, "ready 2")
    os.kill(local_run.pid, signal.SIGSTOP)  # from here on it starts and drains nobody
    children = {pid for pid in marked(marker) if _parent(pid) == local_run.pid}
    assert len(children) >= 2  # the broker, and a worker at least
    handles = [os.pidfd_open(pid) for pid in children]
    os.kill(keeper, signal.SIGKILL)
    local_run.kill()
    for handle in handles:
        assert select.select([handle], [], [], BOUND_SECONDS)[0]
        os.close(handle)
    assert kill_marked(marker) > 0  # the handlers' children: those are what the keeper is for


def test_a_child_whose_parent_has_ended_already_ends_too() -> None:
    command = tether.tethered(["true"])
    command[4] = str(os.getppid())  # not the process that starts it
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_a_tethered_command_is_itself() -> None:
    with subprocess.Popen(tether.tethered(["sh", "-c", "echo $$"]), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) == process.pid
    ended = subprocess.run(tether.tethered(["no-such-command"]), check=False, capture_output=True)
    assert ended.returncode == 127
    assert b"no-such-command" in ended.stderr


def test_a_worker_hands_the_marker_down_to_its_commands() -> None:
    assert not VARIABLE.startswith(ENV_PREFIX)  # those it strips


def test_markers_nest_and_do_not_mix(marker: str) -> None:
    inner = new_marker({VARIABLE: marker})
    assert inner.startswith(f"{marker}/")
    sleeper = subprocess.Popen(["sleep", "1000"], env={VARIABLE: inner})
    other = subprocess.Popen(["sleep", "1000"], env={VARIABLE: f"{marker}0"})
    try:
        assert list(marked(marker)) == list(marked(inner)) == [sleeper.pid]
        assert sweep(marker)
        assert sleeper.wait() == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (sleeper, other):
            process.kill()
            process.wait()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
