"""What every completed run has in common: all tasks once, in order, and the counts of its status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from accept.bound import Bound, at_most, same, true
from support.local_run import GONE_SECONDS, Ended, LocalRun


def worker(handler: str = "noop", **fields: Any) -> Mapping[str, Any]:
    """``spec.worker`` with one of the handlers of tests."""
    return {"python": f"handlers:{handler}", **fields}


def completed(run: LocalRun, ended: Ended, count: int, *, failed: int = 0, code: int = 0) -> Iterator[Bound]:
    """Exit code, status, results, and nothing left running."""
    yield same("exit code", ended.code, code)
    if ended.code != code:
        yield Bound("what it said", ended.said[-400:], "", False)
        return
    tasks = {name: ended.tasks[name] for name in ("total", "released", "succeeded", "failed", "outstanding")}
    expected = {
        "total": count,
        "released": count,
        "succeeded": count - failed,
        "failed": failed,
        "outstanding": 0,
    }
    yield true("status: all released, all ended, none lost", tasks == expected, tasks)
    yield from each_once(run, count)
    yield at_most("left running, gone after", run.seconds_until_gone(), GONE_SECONDS, " s", of_speed=True)


def each_once(run: LocalRun, count: int) -> Iterator[Bound]:
    lines = run.results()
    yield same("lines of results", len(lines), count)
    yield true("each index once and in order", [line["index"] for line in lines] == list(range(count)))


def outcomes(run: LocalRun) -> Counter[str]:
    return Counter(line["outcome"] for line in run.results())
