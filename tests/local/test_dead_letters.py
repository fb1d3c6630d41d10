"""``jobrun dead retry`` on the data directory of a local run: after its end, while it goes on, when it is killed."""

from __future__ import annotations

import itertools
import shlex
import subprocess
from pathlib import Path
from typing import Any

from support.command_line import jobrun
from support.local_run import LocalRun

COUNT = 70
SEVENTHS = [index for index in range(COUNT) if index % 7 == 6]
SPEC: dict[str, Any] = {
    "tasks": {"count": COUNT},
    "worker": {"python": "handlers:fails_each_seventh"},
    "retry": {"maxAttempts": 1},
    "results": {"retain": True},
}
MENDED = "handlers:logged"


def dead(run: LocalRun, command: str, *arguments: str) -> str:
    ended = jobrun("dead", command, "run", "--data-dir", run.data, *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_after_its_end_the_same_command_goes_on_with_them(tmp_path: Path) -> None:
    with LocalRun(tmp_path / "run", SPEC) as run:
        first = run.run()
        assert (first.code, first.tasks["failed"]) == (0, len(SEVENTHS))
        assert dead(run, "retry", "6", "13") == "dead letters to be retried: 2\n"
        run.edit(worker={"python": MENDED})
        second = run.run()
        assert (second.code, second.tasks["failed"], second.tasks["outstanding"]) == (0, len(SEVENTHS) - 2, 0)
        assert second.tasks["succeeded"] == COUNT - len(SEVENTHS) + 2
        results = {line["index"]: line for line in run.results()}
        assert (results[6]["outcome"], results[6]["output"], results[6]["attempts"]) == ("Succeeded", 6, 2)
        assert results[20]["outcome"] == "Failed"
        assert results[6]["releasedAt"] < results[6]["startedAt"]
        assert len(dead(run, "list", "--json").splitlines()) == len(SEVENTHS) - 2
        before = len(run.starts())
        assert run.run().tasks == second.tasks  # nothing is left to be retried
        assert len(run.starts()) == before
        dead(run, "retry", "--all")
        third = run.run()
        assert (third.tasks["failed"], third.tasks["succeeded"]) == (0, COUNT)
        assert [line["outcome"] for line in run.results()] == ["Succeeded"] * COUNT
        assert third.jobrun["status"]["conditions"][0]["reason"] == "Completed"
        assert run.processes() == []


def test_results_asked_for_later_have_what_succeeds_from_then_on(tmp_path: Path) -> None:
    with LocalRun(tmp_path / "run", SPEC | {"results": {"retain": False}}) as run:
        first = run.start(["local", "run", "run.yaml", "--data-dir", "data"]).wait()
        assert first.code == 0, first.said
        dead(run, "retry", "6", "13")
        run.edit(worker={"python": MENDED})
        second = run.run()
        assert (second.code, second.tasks["failed"]) == (0, len(SEVENTHS) - 2)
        results = {line["index"]: (line["outcome"], line["output"]) for line in run.results()}
        assert results[6] == ("Succeeded", 6)
        assert sorted(results) == SEVENTHS
        assert f"{COUNT - len(SEVENTHS)} of the tasks have no line" in second.stderr
        read = jobrun("results", "run", "--data-dir", run.data)
        assert (
            f"{COUNT - len(SEVENTHS)} of {COUNT} tasks have no line: ended while results were not kept"
            in read.stderr
        )


def test_the_way_to_what_failed_works(tmp_path: Path) -> None:
    with LocalRun(tmp_path / "run", SPEC) as run:
        said = run.run().stderr
        assert "first failure: task " in said
        command = said.partition("what failed, and why: ")[2].splitlines()[0].split()
        assert command[:4] == ["jobrun", "dead", "list", "run"]
        listed = jobrun(*command[1:], cwd=run.folder).stdout
        assert "task 6 is a seventh" in listed
        assert "first failure" not in run.run().stderr  # that was then
    with LocalRun(tmp_path / "fresh", SPEC) as run:
        said = run.start(["local", "run", "run.yaml", "--results", "results.jsonl"]).wait().stdout
        command = shlex.split(said.partition("what failed, and why: ")[2].splitlines()[0])
        found = subprocess.run(command, cwd=run.folder, capture_output=True, text=True, check=True).stdout
        assert len(found.splitlines()) == len(SEVENTHS)


def test_one_that_fails_again_keeps_its_dead_letter(tmp_path: Path) -> None:
    with LocalRun(tmp_path / "run", SPEC) as run:
        run.run()
        dead(run, "retry", "--all")
        again = run.run()
        assert (again.tasks["failed"], again.tasks["succeeded"]) == (len(SEVENTHS), COUNT - len(SEVENTHS))
        assert {line["attempts"] for line in run.results() if line["outcome"] == "Failed"} == {2}


def test_killed_whenever_while_they_are_retried(tmp_path: Path) -> None:
    """Counts add up in every status that was written, and in the end each task has one outcome."""
    spec = SPEC | {"rate": {"tasks": 10, "periodSeconds": 1, "burst": 1}}
    with LocalRun(tmp_path / "run", spec | {"rate": {"tasks": 1000, "periodSeconds": 1}}) as run:
        run.run()
        dead(run, "retry", "--all")
        # With a single attempt, one that a killed worker had in hand would be a dead letter again.
        run.edit(worker={"python": MENDED}, rate=spec["rate"], retry={"maxAttempts": 3})
        for kill in range(1, 6):
            goal = COUNT + 2 * kill - 1
            run.start().until(lambda goal=goal: len(run.starts()) >= goal, f"{goal} starts")  # type: ignore[misc]
            run.kill_all() if kill % 2 else run.kill()
            tasks = run.status()["tasks"]
            assert tasks["outstanding"] + tasks["succeeded"] + tasks["failed"] == COUNT
            run.seconds_until_gone()
        last = run.run()
        assert (last.code, last.tasks["succeeded"], last.tasks["failed"]) == (0, COUNT, 0)
        assert [line["index"] for line in run.results()] == list(range(COUNT))
        assert {line["outcome"] for line in run.results()} == {"Succeeded"}


def test_while_the_run_goes_on(tmp_path: Path) -> None:
    """They are begun at its rate, and it ends when they have ended."""
    spec = SPEC | {"rate": {"tasks": 20, "periodSeconds": 1}}
    with LocalRun(tmp_path / "run", spec) as run:
        run.start().until_status(
            lambda status: status.get("tasks", {}).get("failed", 0) >= 3, "3 failed tasks"
        )
        assert dead(run, "retry", "6") == "dead letters to be retried: 1\n"
        ended = run.wait()
        assert (ended.code, ended.tasks["failed"]) == (0, len(SEVENTHS))
        attempts = {line["index"]: line["attempts"] for line in run.results()}
        assert (attempts[6], attempts[69]) == (2, 1)


def test_retries_keep_to_the_rate(tmp_path: Path) -> None:
    spec = SPEC | {"worker": {"python": "handlers:fails_all"}, "circuitBreaker": {"enabled": False}}
    with LocalRun(tmp_path / "run", spec) as run:
        with (run.folder / "handlers.py").open("a") as handlers:
            handlers.write("\n\ndef fails_all(payload, task):\n    raise ValueError('not today')\n")
        run.run()
        dead(run, "retry", "--all")
        run.edit(worker={"python": MENDED}, rate={"tasks": 20, "periodSeconds": 1, "burst": 5})
        assert run.run().tasks["succeeded"] == COUNT
        times = sorted(start.time / 1e9 for start in run.starts())
        assert len(times) == COUNT
        # A permit holds for a second: so much may come together at the most, however loaded this machine is.
        for first, last in itertools.combinations(range(COUNT), 2):
            assert last - first + 1 <= 20 * (times[last] - times[first] + 1.1) + 5
