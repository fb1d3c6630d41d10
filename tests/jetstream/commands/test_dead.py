"""``jobrun dead`` against a real broker: what is listed, shown and given up, and what is left alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.errors import Conflict
from jobrun_operator.jetstream.dead import dead_letters, discard
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.retries import JetStreamRetries
from jobrun_worker.wire import Names
from support.command_line import lines
from support.kept_runs import TIME, KeptRuns, outcome_of

NAMES = Names()


async def failed_run(kept: KeptRuns, *indexes: int, total: int = 3_000) -> None:
    await kept.run("backfill", "u1", total=total)
    for index in indexes:
        body = json.dumps({"id": index}).encode()
        await kept.store("u1", outcome_of(index, good=False, error=f"no {index}\nat all", body=body))


async def failed(kept: KeptRuns) -> int:
    """As the engine counts them."""
    ends = await JetStreamObserver(kept.js, LayoutSettings("here")).ends("u1")
    assert ends is not None
    return ends.failed


async def test_a_list_for_people(kept: KeptRuns) -> None:
    await failed_run(kept, 7, 2)
    await kept.ended("u1", 1)
    ended = await kept.jobrun("dead list", "backfill")
    assert (ended.returncode, ended.stderr) == (0, "")
    head, *rows = ended.stdout.splitlines()
    assert head.split() == ["INDEX", "ATTEMPTS", "REASON", "FAILED-AT", "ERROR"]
    assert [row.split(maxsplit=4) for row in rows] == [
        ["7", "1", "MaxAttempts", "2026-06-01T12:00:00Z", "no 7 at all"],
        ["2", "1", "MaxAttempts", "2026-06-01T12:00:00Z", "no 2 at all"],
    ]


async def test_a_list_for_programs_of_any_length(kept: KeptRuns) -> None:
    await failed_run(kept, *range(1_200))
    ended = await kept.jobrun("dead list", "backfill", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    found = lines(ended.stdout)
    assert [line["index"] for line in found] == list(range(1_200))
    assert found[-1]["payload"] == {"id": 1_199}


async def test_a_run_without_any(kept: KeptRuns) -> None:
    await failed_run(kept)
    ended = await kept.jobrun("dead list", "backfill")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "no dead letters\n")


async def test_one_is_shown_whole(kept: KeptRuns) -> None:
    await failed_run(kept, 7)
    ended = await kept.jobrun("dead show", "backfill", "7")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout) == {
        "index": 7,
        "reason": "MaxAttempts",
        "error": "no 7\nat all",
        "attempts": 1,
        "worker": "w",
        "releasedAt": TIME,
        "startedAt": TIME,
        "finishedAt": TIME,
        "payload": {"id": 7},
    }


async def test_a_discarded_one_has_no_payload_and_still_counts_as_failed(kept: KeptRuns) -> None:
    await failed_run(kept, 7, 8)
    ended = await kept.jobrun("dead discard", "backfill", "7", "7")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "dead letters discarded: 1 (they still count as failed)\n"
    assert await failed(kept) == 2
    shown = json.loads((await kept.jobrun("dead show", "backfill", "7")).stdout)
    missing = await kept.jobrun("dead show", "backfill", "5000")
    assert missing.returncode == 2
    assert "no dead letter of task 5000 in this run; jobrun dead list backfill" in missing.stderr
    assert (shown["reason"], shown["error"], shown["payload"]) == ("Discarded", "no 7\nat all", None)
    listed = await kept.jobrun("dead list", "backfill", "--json")
    assert [line["index"] for line in lines(listed.stdout)] == [8]
    assert listed.stderr == "discarded before: 1\n"
    again = await kept.jobrun("dead discard", "backfill", "7")
    assert again.stdout.startswith("dead letters discarded: 0 ")
    results = await kept.jobrun("results", "backfill")
    assert [(line["index"], line["outcome"], line["error"]) for line in lines(results.stdout)] == [
        (7, "Failed", "no 7\nat all"),
        (8, "Failed", "no 8\nat all"),
    ]


@pytest.mark.parametrize(
    ("option", "left"),
    [(["--all"], []), (["--error", "no 1"], [index for index in range(700) if str(index)[0] != "1"])],
)
async def test_many_are_discarded_at_once(kept: KeptRuns, option: list[str], left: list[int]) -> None:
    await failed_run(kept, *range(700))
    ended = await kept.jobrun("dead discard", "backfill", *option)
    assert (ended.returncode, ended.stderr) == (0, "")
    listed = await kept.jobrun("dead list", "backfill", "--json")
    assert [line["index"] for line in lines(listed.stdout)] == left
    assert await failed(kept) == 700


async def test_nothing_is_changed_where_one_is_no_dead_letter(kept: KeptRuns) -> None:
    await failed_run(kept, 7)
    await kept.ended("u1", 1)
    ended = await kept.jobrun("dead discard", "backfill", "7", "1", "5000")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "no dead letter of task 1, 5000 in this run, so nothing is changed" in ended.stderr
    listed = await kept.jobrun("dead list", "backfill", "--json")
    assert [line["index"] for line in lines(listed.stdout)] == [7]


@pytest.mark.parametrize("arguments", [[], ["7", "--all"], ["--all", "--error", "x"]])
async def test_it_has_to_be_said_which(kept: KeptRuns, arguments: list[str]) -> None:
    ended = await kept.jobrun("dead discard", "backfill", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "say which dead letters: one or more INDEX, --error TEXT, or --all" in ended.stderr


async def test_one_that_was_written_anew_meanwhile_is_left_alone(kept: KeptRuns) -> None:
    await failed_run(kept, 7)
    (read,) = [letter async for letter in dead_letters(kept.js, NAMES, "u1")]
    await kept.store("u1", replace(read.outcome, error="another failure"))
    with pytest.raises(Conflict):
        await discard(kept.js, NAMES, "u1", read)
    (now,) = [letter async for letter in dead_letters(kept.js, NAMES, "u1")]
    assert (now.outcome.error, now.discarded) == ("another failure", False)


async def takes_retries(kept: KeptRuns) -> JetStreamRetries:
    """As the engine does it when it sees the first dead letter."""
    retries = JetStreamRetries(kept.js, LayoutSettings("here"))
    await retries.open(RunRef("team", "backfill", "u1"), SourceSummary(3_000, "sha256:0"))
    return retries


async def asked(retries: JetStreamRetries) -> int:
    found = await retries.asked("u1")
    assert found is not None
    return found.messages


async def test_some_are_retried_and_asking_again_says_so(kept: KeptRuns) -> None:
    await failed_run(kept, 1, 2, 3)
    retries = await takes_retries(kept)
    ended = await kept.jobrun("dead retry", "backfill", "1", "3")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "dead letters to be retried: 2\n", "")
    ended = await kept.jobrun("dead retry", "backfill", "--all")
    assert (ended.returncode, ended.stdout) == (0, "dead letters to be retried: 1\n")
    assert ended.stderr == "asked for before, and not settled yet: 2\n"
    assert await asked(retries) == 3


async def test_those_with_some_error_are_retried(kept: KeptRuns) -> None:
    await failed_run(kept, *range(20))
    retries = await takes_retries(kept)
    ended = await kept.jobrun("dead retry", "backfill", "--error", "no 1")
    assert ended.stdout == "dead letters to be retried: 11\n"
    assert await asked(retries) == 11


async def test_one_that_was_discarded_is_not_retried(kept: KeptRuns) -> None:
    await failed_run(kept, 1, 2)
    retries = await takes_retries(kept)
    await kept.jobrun("dead discard", "backfill", "1")
    ended = await kept.jobrun("dead retry", "backfill", "2", "1")
    assert ended.returncode == 2
    assert "task 1 was discarded, and its payload with it" in ended.stderr
    assert await asked(retries) == 0
    await kept.jobrun("dead retry", "backfill", "--all")
    assert await asked(retries) == 1


async def test_a_run_that_has_failed_takes_no_retries(kept: KeptRuns) -> None:
    await failed_run(kept, 1)
    ended = await kept.jobrun("dead retry", "backfill", "1")
    assert ended.returncode == 2
    assert "takes no retries: it has failed" in ended.stderr


async def test_what_is_being_retried_is_not_discarded(kept: KeptRuns) -> None:
    await failed_run(kept, 1, 2)
    await takes_retries(kept)
    await kept.jobrun("dead retry", "backfill", "1")
    ended = await kept.jobrun("dead discard", "backfill", "--all")
    assert ended.stdout == "dead letters discarded: 1 (they still count as failed)\n"
    assert ended.stderr == "being retried, so left as they are: 1\n"
