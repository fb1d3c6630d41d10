"""Edits of the manifest while it runs: suspend, resume, another rate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accept.bound import Bound, at_most, true
from accept.complete import completed, worker
from support.local_run import LocalRun
from support.measure import SECOND, kept_from, reached_from
from support.process_marks import until

_WITHIN = 1.0


def suspended_and_resumed(folder: Path, *, count: int, rate: int, seconds: float) -> Iterator[Bound]:
    """Nothing is released while suspended for ``seconds``; both edits act within a second."""
    spec = _spec(count, rate)
    with LocalRun(folder, spec) as run:
        run.start().until_started(count // 4)
        suspended = run.edit(suspend=True)
        run.until_phase("Suspended")
        run.until(lambda: not run.workers(), "workers at zero")
        _pass(seconds)
        resumed = run.edit(suspend=False)
        ended = run.wait(within=60 + 3 * count / rate)
        yield from completed(run, ended, count)
        times = run.released()
        late = [time for time in times if suspended < time < resumed]
        yield at_most(
            "last release after suspend",
            _seconds(suspended, max(late, default=suspended)),
            _WITHIN,
            " s",
            of_speed=True,
        )
        first = min(time for time in times if time > resumed)
        yield at_most("first release after resume", _seconds(resumed, first), _WITHIN, " s", of_speed=True)
        yield true("both were edits of the same run", ended.jobrun["metadata"]["generation"] == 3)
        kept = kept_from([time for time in times if time >= resumed], rate, rate)
        yield true("the rate is kept from the resume on", kept == first, _seconds(resumed, kept))


def other_rates(folder: Path, *, count: int, slow: int, fast: int) -> Iterator[Bound]:
    """Faster, then slower: each is kept within a second of the edit."""
    spec = _spec(count, slow)
    with LocalRun(folder, spec) as run:
        run.start().until_started(count // 6)
        faster = run.edit(rate=_rate(fast))
        run.until_started(count * 4 // 6)
        slower = run.edit(rate=_rate(slow))
        ended = run.wait(within=60 + 3 * count / slow)
        yield from completed(run, ended, count)
        times = run.released()
        first = [time for time in times if time < faster]
        second = [time for time in times if faster <= time < slower]
        third = [time for time in times if time >= slower]
        yield true("the first rate is kept until the edit", kept_from(first, slow, slow) == first[0])
        reached = reached_from(second, fast, 0.5)
        yield at_most(
            "the faster rate is reached after", _seconds(faster, reached), _WITHIN, " s", of_speed=True
        )
        yield true("and kept from the edit on", kept_from(second, fast, fast) == second[0])
        kept = kept_from(third, slow, slow / 10)
        yield at_most("the slower rate is kept after", _seconds(slower, kept), _WITHIN, " s", of_speed=True)


def _spec(count: int, rate: int) -> dict[str, Any]:
    return {"tasks": {"count": count}, "rate": _rate(rate), "worker": worker("async_logged")}


def _rate(rate: int) -> dict[str, int]:
    return {"tasks": rate, "periodSeconds": 1, "burst": max(1, rate // 10)}


def _seconds(edit: int, then: int | None) -> float:
    return float("inf") if then is None else (then - edit) / SECOND


def _pass(seconds: float) -> None:
    """Let the suspension last: what is watched for is that nothing happens."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, "the end of the suspension", seconds + 5)
