"""After the hold of a circuit breaker: one task at a time, until one has succeeded or too many have failed."""

from __future__ import annotations

import asyncio

from jobrun_worker.gate import Gate
from jobrun_worker.hold import Hold
from jobrun_worker.trial import REST, SPREAD, TASKS, Trial


class _Puller:
    def block(self, reason: str) -> None: ...

    def start(self, reason: str) -> None: ...


def trial() -> tuple[Trial, Hold, list[bool]]:
    resized: list[bool] = []
    hold = Hold(Gate(16), _Puller())  # type: ignore[arg-type]
    return Trial(hold, resized.append), hold, resized


async def test_it_begins_when_the_hold_is_over() -> None:
    made, hold, resized = trial()
    assert (made.on, made.rest) == (False, 0.0)
    apart = made.follow(0.06)
    assert 0 <= apart <= 0.06 / SPREAD
    assert resized == [True]
    hold.begin(0.06, "")
    assert not made.on
    made.succeeded()  # of a task that had begun before
    assert made.failed() == 0.0
    while hold.on:  # noqa: ASYNC110  # of the loop's own clock
        await asyncio.sleep(0.01)
    assert made.on
    assert made.rest == REST * 0.06
    assert resized == [True]


async def test_the_first_success_ends_it() -> None:
    made, _, resized = trial()
    made.follow(30.0)
    assert made.failed() == 0.0
    made.succeeded()
    assert (made.on, made.rest, made.failed()) == (False, 0.0, 0.0)
    assert resized == [True, False]
    made.succeeded()
    assert resized == [True, False]


async def test_some_failures_hold_the_run_again() -> None:
    made, _, _ = trial()
    made.follow(30.0)
    assert [made.failed() for _ in range(TASKS)] == [0.0] * (TASKS - 1) + [30.0]
    made.follow(30.0)
    assert made.failed() == 0.0


async def test_a_last_attempt_is_spared_once() -> None:
    made, _, _ = trial()
    assert not made.spares(7)
    made.follow(30.0)
    assert [made.spares(7), made.spares(8), made.spares(7)] == [True, True, False]
    made.succeeded()
    assert not made.spares(9)
    made.follow(30.0)
    assert made.spares(7)
