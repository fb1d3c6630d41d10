"""``jobrun results`` against a real broker: the run is found by its name, and its lines are whole and in order."""

from __future__ import annotations

from pathlib import Path

from support.command_line import jobrun_soon, lines
from support.kept_runs import TIME, KeptRuns


async def test_lines_in_the_order_of_index(kept: KeptRuns) -> None:
    await kept.run("backfill", "u1", total=600)
    await kept.ended("u1", *reversed(range(600)), failed=7)
    ended = await kept.jobrun("results", "backfill")
    assert (ended.returncode, ended.stderr) == (0, "")
    found = lines(ended.stdout)
    assert [line["index"] for line in found] == list(range(600))
    assert found[6] == {
        "index": 6,
        "outcome": "Succeeded",
        "output": {"n": 1},
        "error": None,
        "attempts": 1,
        "worker": "w",
        "releasedAt": TIME,
        "startedAt": TIME,
        "finishedAt": TIME,
    }
    assert (found[7]["outcome"], found[7]["output"], found[7]["error"]) == ("Failed", None, "no")


async def test_a_run_that_goes_on_says_how_far_it_is(kept: KeptRuns, tmp_path: Path) -> None:
    await kept.run("backfill", "u1")
    await kept.ended("u1", 1)
    output = tmp_path / "out.jsonl"
    output.write_text("old")
    ended = await kept.jobrun("results", "backfill", "-o", output)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "1 of 3 tasks has ended so far\n")
    assert [line["index"] for line in lines(output.read_text())] == [1]
    assert not output.with_name(".out.jsonl.new").exists()


async def test_without_kept_results_there_are_dead_letters(kept: KeptRuns) -> None:
    await kept.run("backfill", "u1", keeps=False)
    await kept.ended("u1", 2, failed=2)
    ended = await kept.jobrun("results", "backfill")
    assert [line["outcome"] for line in lines(ended.stdout)] == ["Failed"]
    assert "results.retain is off" in ended.stderr


async def test_the_newest_run_of_a_name_unless_another_is_asked_for(kept: KeptRuns) -> None:
    await kept.run("backfill", "u1", total=1)
    await kept.run("backfill", "u2", total=2)
    await kept.ended("u1", 0)
    await kept.ended("u2", 0, 1)
    newest = await kept.jobrun("results", "backfill")
    assert len(lines(newest.stdout)) == 2
    assert "the newest of 2 runs of this name" in newest.stderr
    older = await kept.jobrun("results", "backfill", "--uid", "u1")
    assert (len(lines(older.stdout)), older.stderr) == (1, "")


async def test_two_installations_on_one_broker_are_not_mixed_up(kept: KeptRuns) -> None:
    await kept.run("backfill", "u1", installation="here")
    await kept.run("backfill", "u2", installation="there")
    ended = await kept.jobrun("results", "backfill")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--uid u1" in ended.stderr
    assert "--uid u2" in ended.stderr
    assert (await kept.jobrun("results", "backfill", "--uid", "u2")).returncode == 0


async def test_streams_under_another_prefix(kept: KeptRuns) -> None:
    await kept.run("backfill", "u1", total=1, prefix="staging")
    await kept.ended("u1", 0, prefix="staging")
    assert (await kept.jobrun("results", "backfill")).returncode == 2
    assert len(lines((await kept.jobrun("results", "backfill", "--prefix", "staging")).stdout)) == 1


async def test_a_run_that_is_not_there_is_told_with_those_that_are(kept: KeptRuns) -> None:
    await kept.run("backfill", "u1")
    ended = await kept.jobrun("results", "other")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "keeps nothing of a run team/other" in ended.stderr
    assert "There is: team/backfill" in ended.stderr


async def test_no_broker_is_exit_code_3(kept: KeptRuns) -> None:
    await kept.server.stop()
    ended = await jobrun_soon("results", "backfill", "--nats-url", "nats://127.0.0.1:4", patience=1)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "no connection to the broker at nats://127.0.0.1:4" in ended.stderr
