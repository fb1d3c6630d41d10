"""Where ``--results`` and ``jobrun results -o`` write: never in place of what is not a plain file, or of an input."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest

from support.command_line import jobrun, lines
from support.local_run import LocalRun

SPEC: dict[str, Any] = {"tasks": {"count": 3}, "worker": {"python": "handlers:noop"}}
ALL = [0, 1, 2]


def _indexes(text: str) -> list[int]:
    return [line["index"] for line in lines(text)]


@contextmanager
def _reader(fifo: Path) -> Iterator[Popen[str]]:
    os.mkfifo(fifo)
    with Popen(["cat", fifo], stdout=PIPE, text=True) as cat:
        try:
            yield cat
        finally:
            cat.kill()


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a run that is complete; to be copied, not to be used."""
    with LocalRun(tmp_path_factory.mktemp("complete"), SPEC) as run:
        ended = run.run()
        assert ended.code == 0, ended.said
        return run.data


@pytest.fixture
def kept(complete: Path, tmp_path: Path) -> Iterator[LocalRun]:
    """A run that is complete, with its results in its data directory."""
    with LocalRun(tmp_path, SPEC) as run:
        shutil.copytree(complete, run.data)
        yield run


def _both(run: LocalRun, path: str) -> Iterator[str]:
    """What each of the two options prints."""
    ended = run.start(["local", "run", "run.yaml", "--data-dir", "data", "--results", path]).wait()
    assert ended.code == 0, ended.said
    yield ended.said
    other = jobrun("results", "run", "--data-dir", "data", "-o", path, cwd=run.folder)
    assert other.returncode == 0, other.stderr
    yield other.stdout + other.stderr


def test_a_fifo_stays_one_and_its_reader_gets_them(kept: LocalRun) -> None:
    fifo = kept.folder / "fifo"
    with _reader(fifo) as cat:
        next(_both(kept, "fifo"))
        assert stat.S_ISFIFO(fifo.stat().st_mode)
        assert _indexes(cat.communicate()[0]) == ALL
    fifo.unlink()
    with _reader(fifo) as cat:
        assert jobrun("results", "run", "--data-dir", kept.data, "-o", fifo).returncode == 0
        assert stat.S_ISFIFO(fifo.stat().st_mode)
        assert _indexes(cat.communicate()[0]) == ALL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_stays_one(kept: LocalRun) -> None:
    null = kept.folder / "null"
    os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    for _ in _both(kept, "null"):
        assert stat.S_ISCHR(null.stat().st_mode)


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_is_followed(there: bool, kept: LocalRun) -> None:
    elsewhere = kept.folder / "elsewhere"
    elsewhere.mkdir()
    target, link = elsewhere / "target.jsonl", kept.folder / "link.jsonl"
    link.symlink_to("elsewhere/target.jsonl")
    for _ in _both(kept, "link.jsonl"):
        assert link.is_symlink()
        assert _indexes(target.read_text()) == ALL
        assert [path.name for path in elsewhere.iterdir()] == ["target.jsonl"]
        target.write_text("") if there else target.unlink()


def test_a_dash_is_standard_output_and_nothing_else_is_there(kept: LocalRun) -> None:
    ended = kept.start(["local", "run", "run.yaml", "--data-dir", "data", "--results", "-"]).wait()
    assert ended.code == 0, ended.said
    assert _indexes(ended.stdout) == ALL
    assert "3 lines of results on standard output" in ended.stderr
    assert "Completed: all 3 tasks succeeded" in ended.stderr
    other = jobrun("results", "run", "--data-dir", "data", "-o", "-", cwd=kept.folder)
    assert (other.returncode, _indexes(other.stdout)) == (0, ALL)
    assert not (kept.folder / "-").exists()


def test_what_is_standard_output_already_is_not_replaced(kept: LocalRun) -> None:
    """As ``--results /dev/stdout > file``; the name here is that of the file."""
    output = kept.folder / "out.1.txt"  # of this start
    ended = kept.start(["local", "run", "run.yaml", "--data-dir", "data", "--results", output.name]).wait()
    assert ended.code == 0, ended.said
    assert _indexes(ended.stdout) == ALL
    assert "Completed: all 3 tasks succeeded" in ended.stderr


def test_with_json_the_last_line_is_the_run(tmp_path: Path) -> None:
    with LocalRun(tmp_path, SPEC) as run:
        ended = run.start(["local", "run", "run.yaml", "--results", "-", "--json"]).wait()
        assert ended.code == 0, ended.said
        assert ended.jobrun["status"]["phase"] == "Completed"
        assert [json.loads(line)["index"] for line in ended.stdout.splitlines()[:-1]] == ALL


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("run.yaml", "the manifest"),
        ("tasks.csv", "the file of --tasks"),
        ("hard.csv", "the file of --tasks"),
        ("link.csv", "the file of --tasks"),
        ("handlers.py", "the module of spec.worker.python"),
        ("data/jobrun.json", "a part of the data directory"),
        ("data/broker/new", "a part of the data directory"),
    ],
)
def test_what_the_same_command_reads_is_not_overwritten(target: str, what: str, tmp_path: Path) -> None:
    with LocalRun(tmp_path, SPEC) as run:
        (run.folder / "tasks.csv").write_text("id\n1\n")
        (run.folder / "hard.csv").hardlink_to(run.folder / "tasks.csv")
        (run.folder / "link.csv").symlink_to("tasks.csv")
        (run.data / "broker").mkdir(parents=True)
        (run.data / "jobrun.json").write_text("{}")
        before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
        command = ["local", "run", "run.yaml", "--tasks", "tasks.csv", "--data-dir", "data", "--results"]
        ended = run.start([*command, target]).wait()
        assert (ended.code, ended.stdout) == (2, "")
        assert ended.stderr.startswith(f"Error: --results: {target} is {what}")
        assert ended.stderr.count("\n") == 1
        assert {path: path.read_bytes() for path in before} == before


def test_the_data_directory_is_not_overwritten_by_its_own_results(kept: LocalRun) -> None:
    before = (kept.data / "jobrun.json").read_bytes()
    refused = jobrun("results", "run", "--data-dir", "data", "-o", "data/jobrun.json", cwd=kept.folder)
    assert refused.returncode == 2
    assert "--output: data/jobrun.json is a part of the data directory" in refused.stderr
    assert (kept.data / "jobrun.json").read_bytes() == before
    other = jobrun("results", "run", "--data-dir", "data", "-o", "data/results.jsonl", cwd=kept.folder)
    assert other.returncode == 0, other.stderr
