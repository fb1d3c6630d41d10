"""Failed attempts: they are charged to the rate, and a task that never succeeds becomes a dead letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accept.bound import Bound, at_most, same, told, true
from accept.complete import completed, worker
from support.local_run import LocalRun
from support.measure import excess, most_in_window
from support.task_handlers import fails_a_third


def retries_keep_the_rate(folder: Path, *, count: int, rate: int, longest_delay: int = 4) -> Iterator[Bound]:
    """A third of attempts fails: starts over any ten seconds stay within rate plus burst."""
    burst = rate
    spec = {
        "tasks": {"count": count},
        "rate": {"tasks": rate, "periodSeconds": 1, "burst": burst},
        "retry": {"maxAttempts": 12, "initialDelaySeconds": 1, "maxDelaySeconds": longest_delay},
        "worker": worker("flaky"),
    }
    dead = sum(all(fails_a_third(index, attempt) for attempt in range(1, 13)) for index in range(count))
    with LocalRun(folder, spec) as run:
        ended = run.run(within=90 + 3 * count / rate)
        yield from completed(run, ended, count, failed=dead)
        starts = run.starts()
        times = sorted(start.time for start in starts)
        failed = sum(fails_a_third(start.index, start.attempt) for start in starts)
        yield told("attempts, and those that failed", f"{len(starts):,}, {failed / len(starts):.1%}")
        expected = sum(_attempts(index) for index in range(count))
        yield same("attempts", len(starts), expected)
        yield at_most("most starts in any 10 s", most_in_window(times, 10.0), 10 * rate + burst)
        yield told("most starts in any second", f"{most_in_window(times, 1.0):,}")
        yield told("most above the rate in any window", f"{excess(times, rate):,.0f}")


def _attempts(index: int) -> int:
    """Of a task, by ``flaky``."""
    return next((attempt for attempt in range(1, 12) if not fails_a_third(index, attempt)), 12)


def each_seventh(folder: Path, *, count: int) -> Iterator[Bound]:
    """Exactly the tasks that fail for good are dead letters; the run is complete all the same."""
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "retry": {"maxAttempts": 2, "initialDelaySeconds": 0},
        "worker": worker("fails_each_seventh"),
    }
    sevenths = [index for index in range(count) if index % 7 == 6]
    with LocalRun(folder, spec) as run:
        ended = run.run()
        yield from completed(run, ended, count, failed=len(sevenths))
        failed = [line for line in run.results() if line["outcome"] == "Failed"]
        yield true("dead letters are exactly those", [line["index"] for line in failed] == sevenths)
        wrong = [line for line in failed if f"task {line['index']} is a seventh" not in line["error"]]
        yield true("each with its error", not wrong, wrong[:1])
        yield same("attempts of each", dict(Counter(line["attempts"] for line in failed)), {2: len(sevenths)})
        yield true("the last errors are told in status", 1 <= len(ended.jobrun["status"]["lastErrors"]) <= 5)
        condition = {one["type"]: one for one in ended.jobrun["status"]["conditions"]}["Complete"]
        yield same("reason", condition["reason"], "CompletedWithFailures")


def failure_policy(folder: Path, *, count: int) -> Iterator[Bound]:
    """Exit code 1 where more tasks fail than the policy allows, and only then."""
    sevenths = count // 7
    spec: dict[str, Any] = {"tasks": {"count": count}, "worker": worker("gives_up_each_seventh")}
    allowed = spec | {"failurePolicy": {"maxFailedTasks": sevenths}}
    with LocalRun(folder / "allowed", allowed) as run:
        yield from completed(run, run.run(), count, failed=sevenths)
    for policy in ({"maxFailedTasks": sevenths - 1}, {"maxFailedPercent": 10}):
        with LocalRun(folder / next(iter(policy)), spec | {"failurePolicy": policy}) as run:
            ended = run.run()
            (what, limit), status = next(iter(policy.items())), ended.jobrun["status"]
            yield same(f"exit code with {what}: {limit}", ended.code, 1)
            conditions = {
                one["type"]: one["reason"] for one in status["conditions"] if one["status"] == "True"
            }
            yield same(
                "phase, reason",
                (status["phase"], conditions.get("Failed")),
                ("Failed", "FailurePolicyExceeded"),
            )
            yield at_most("left running, gone after", run.seconds_until_gone(), 5.0, " s", of_speed=True)
