"""Signals that come more than once, as ``timeout`` and terminals send them, and signals at the end of a run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from support.local_run import LocalRun
from support.process_marks import until

SPEC: dict[str, Any] = {
    "tasks": {"count": 100},
    "worker": {"python": "handlers:slow", "concurrency": 2},
}
FRESH = ["local", "run", "run.yaml"]


def _run(folder: Path, seconds: float, spec: dict[str, Any] = SPEC) -> LocalRun:
    """Its temporary directories are made in ``folder/tmp``."""
    (folder / "tmp").mkdir()
    env = {"TMPDIR": str(folder / "tmp"), "HANDLER_SECONDS": str(seconds)}
    return LocalRun(folder, spec, env=env)


def _left(run: LocalRun) -> list[str]:
    return os.listdir(run.folder / "tmp")


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("later", [0.0, 0.1, 0.3])
def test_a_second_one_at_once_cuts_nothing_short(first: signal.Signals, later: float, tmp_path: Path) -> None:
    with _run(tmp_path, seconds=1.2) as run:
        run.start(FRESH).until_started(2)
        assert _left(run)
        run.send(first)
        time.sleep(later)
        run.send(signal.SIGTERM)
        ended = run.wait()
        assert ended.code == 128 + first, ended.said
        assert "interrupted; without --data-dir nothing is kept" in ended.stdout
        assert _left(run) == []


def test_one_that_insists_ends_it_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    with _run(tmp_path, seconds=600) as run:
        run.start(FRESH).until_started(2)
        began = time.monotonic()
        run.send(signal.SIGINT)
        time.sleep(1.1)
        run.send(signal.SIGINT)
        ended = run.wait()
        assert time.monotonic() - began < 8  # of the 10 s that tasks have
        assert (ended.code, "interrupted again" in ended.stderr) == (130, True)
        run.seconds_until_gone()
        until(lambda: not _left(run), "the end of the directory")


def test_killed_it_leaves_nothing_either(tmp_path: Path) -> None:
    with _run(tmp_path, seconds=600) as run:
        run.start(FRESH).until_started(2)
        run.kill()
        run.seconds_until_gone()
        until(lambda: not _left(run), "the end of the directory")


def test_before_the_run_has_begun(tmp_path: Path) -> None:
    with _run(tmp_path, seconds=0) as run:
        # Not the file by which Python finds out where temporary files can be.
        run.start(FRESH).until(lambda: any(one.startswith("jobrun-") for one in _left(run)), "the directory")
        run.send(signal.SIGTERM)
        run.send(signal.SIGTERM)
        ended = run.wait()
        assert ended.code == 128 + signal.SIGTERM
        assert "interrupted" in ended.said
        assert _left(run) == []


def test_a_fifo_without_a_reader_is_left_by_a_signal(tmp_path: Path) -> None:
    spec = SPEC | {"tasks": {"count": 3}}
    with _run(tmp_path, seconds=0, spec=spec) as run:
        os.mkfifo(run.folder / "fifo")
        run.start([*FRESH, "--results", "fifo"])
        run.until(lambda: "waiting for a reader of fifo" in run.said(), "what it waits for")
        run.send(signal.SIGINT)
        ended = run.wait()
        assert ended.code == 130
        assert "interrupted after the run, before all was told" in ended.said
        assert _left(run) == []
