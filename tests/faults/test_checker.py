"""The checker can fail: each law is shown a run in which just that is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from faults import handlers
from faults.checker import Expected, check
from faults.evidence import Ended, Evidence, Logged

TASKS = 200
EXPECTED = Expected(tasks=TASKS, rate=100, burst=10, max_attempts=4, max_waiting=20)
_MS = 1_000_000
DEAD = [index for index in range(TASKS) if handlers.gives_up(index) or handlers.always_fails(index)]

FAILING = next(index for index in DEAD if handlers.always_fails(index))


def ended(index: int, **changes: Any) -> Ended:
    dead = index in DEAD
    body = {"index": index} if dead else handlers.result_of(index)
    why = "HandlerFailed" if handlers.gives_up(index) else "MaxAttempts"
    right = Ended(
        index=index,
        kind="dead" if dead else "ok",
        body=json.dumps(body).encode(),
        reason=why if dead else "",
        attempts=1,
        released=10 * _MS * index,
    )
    return replace(right, **changes)


def status(**changes: int) -> dict[str, Any]:
    tasks = {"total": TASKS, "released": TASKS, "outstanding": 0}
    tasks |= {"succeeded": TASKS - len(DEAD), "failed": len(DEAD)} | changes
    complete = {"type": "Complete", "status": "True", "reason": "CompletedWithFailures"}
    return {"phase": "Completed", "tasks": tasks, "conditions": [complete]}


def logged(index: int) -> list[Logged]:
    tries = 4 if handlers.always_fails(index) else 1
    return [Logged(begins, index, index, 1, 77, 10 * _MS * index) for begins in (True, False)] * tries


RIGHT = Evidence(
    last_seq=TASKS,
    left=0,
    outcomes=tuple(ended(index) for index in range(TASKS)),
    log=tuple(line for index in range(TASKS) for line in logged(index)),
    status=status(),
    redelivered=0,
)


def outcomes(*changed: Ended, without: frozenset[int] = frozenset()) -> Evidence:
    others = {one.index for one in changed} | without
    kept = [one for one in RIGHT.outcomes if one.index not in others]
    return replace(RIGHT, outcomes=tuple(sorted([*kept, *changed], key=lambda one: one.index)))


def test_what_is_right_passes() -> None:
    assert DEAD
    assert check(RIGHT, EXPECTED) == []


def test_a_task_may_begin_more_than_once() -> None:
    assert check(replace(RIGHT, log=RIGHT.log + RIGHT.log), EXPECTED) == []


DEFECTS = {
    "released_once: 201": replace(RIGHT, last_seq=TASKS + 1),
    "released_once: task and payload differ": replace(RIGHT, log=(*RIGHT.log, Logged(True, 8, 7, 1, 77, 0))),
    "released_once: not released in the order": outcomes(ended(9, released=0)),
    "ended_once: 3 are left": replace(RIGHT, left=3),
    "ended_once: no outcome of 1: 9": outcomes(without=frozenset({9})),
    "ended_once: two outcomes of 9": outcomes(ended(9), ended(9, kind="dead", reason="WorkerLost")),
    "ended_once: outcomes of tasks that are none: 200": outcomes(ended(TASKS)),
    "results_are_right: wrong results of 9": outcomes(ended(9, body=b'{"index": 8, "squared": 64}')),
    "results_are_right: results of tasks whose handler never": replace(
        RIGHT, log=tuple(line for line in RIGHT.log if line.begins or line.index != 9)
    ),
    "results_are_right: success of tasks that can't": outcomes(
        ended(DEAD[0], kind="ok", reason="", body=json.dumps(handlers.result_of(DEAD[0])).encode())
    ),
    "buried_with_reason: task 9 was never tried": replace(
        outcomes(ended(9, kind="dead", reason="WorkerLost")),
        log=tuple(line for line in RIGHT.log if line.index != 9),
    ),
    "buried_with_reason: task 9 has a dead letter (WorkerLost, 4 attempts) after 1 of 4 tries": outcomes(
        ended(9, kind="dead", reason="WorkerLost", attempts=4)
    ),
    "rate_is_kept: ": outcomes(*(ended(index, released=10 * _MS * 50) for index in range(50, 62))),
    f"buried_with_reason: task {FAILING} has a dead letter (MaxAttempts, 1 attempts) after 3 of 4 tries": replace(
        RIGHT,
        log=tuple(line for line in RIGHT.log if line.begins or line.index != FAILING)
        + (logged(FAILING)[1],) * 3,
    ),
    "back_pressure_holds: 21 waited": replace(RIGHT, most_waiting=21),
    "status_is_true: status.tasks says {'succeeded': 7}": replace(RIGHT, status=status(succeeded=7)),
    "status_is_true: phase is Running": replace(RIGHT, status=status() | {"phase": "Running"}),
    "status_is_true: conditions that are true": replace(RIGHT, status=status() | {"conditions": []}),
    "nothing_is_left_running: 77 nats-server": replace(RIGHT, processes=("77 nats-server",)),
}


@pytest.mark.parametrize("what", DEFECTS)
def test_a_planted_defect_is_found(what: str) -> None:
    assert any(found.startswith(what) for found in check(DEFECTS[what], EXPECTED)), check(
        DEFECTS[what], EXPECTED
    )


UNKEPT = replace(EXPECTED, keeps_results=False)


def test_without_results_the_handlers_log_shows_that_a_task_has_ended() -> None:
    alive = frozenset(range(TASKS)) - frozenset(DEAD)
    right = outcomes(without=alive)
    assert check(right, UNKEPT) == []
    assert "ended_once: no outcome of 1: 9" in check(
        replace(right, log=tuple(line for line in right.log if line.index != 9)), UNKEPT
    )
    unburied = outcomes(without=alive | {DEAD[0]})
    assert f"ended_once: no outcome of 1: {DEAD[0]}" in check(unburied, UNKEPT)
    assert "results_are_right: 1 results were kept" in check(outcomes(without=alive - {9}), UNKEPT)


def test_without_a_rate_any_pace_is_right() -> None:
    at_once = outcomes(*(ended(index, released=0) for index in range(TASKS)))
    assert check(at_once, replace(EXPECTED, rate=None)) == []
