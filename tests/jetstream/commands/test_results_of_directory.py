"""``jobrun results --data-dir``: of a local run that has ended, that goes on, and that was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command_line import jobrun, lines
from support.local_run import LocalRun

SPEC = {
    "tasks": {"count": 30},
    "rate": {"tasks": 1, "periodSeconds": 1},
    "worker": {"exec": {"command": ["cat"]}},
    "results": {"retain": True},
}


def test_of_a_run_at_any_moment(tmp_path: Path) -> None:
    with LocalRun(tmp_path / "run", SPEC) as run:
        run.start()
        run.until_status(lambda status: status.get("tasks", {}).get("succeeded"), "a task that has succeeded")
        during = jobrun("results", "run", "--data-dir", run.data)
        assert during.returncode == 0, during.stderr
        assert lines(during.stdout)
        run.kill_all()
        assert run.status()["phase"] == "Running"
        killed = jobrun("results", "run", "--data-dir", run.data)
        assert killed.returncode == 0, killed.stderr
        assert "of 30 tasks have ended so far" in killed.stderr
        run.edit(rate={"tasks": 100, "periodSeconds": 1})
        assert run.run().code == 0
        after = jobrun("results", "run", "--data-dir", run.data)
        assert (after.returncode, after.stderr) == (0, "")
        assert lines(after.stdout) == run.results()
        assert run.processes() == []
        wrong = jobrun("results", "other", "--data-dir", run.data)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "belongs to the run default/run" in wrong.stderr


@pytest.mark.parametrize("content", [b"", b"{"])
def test_a_damaged_directory_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "jobrun.json").write_bytes(content)
    ended = jobrun("results", "run", "--data-dir", tmp_path)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "can't be read" in ended.stderr
