"""Judges what a run has left. Pure, and knows nothing of how it came about.

Each law is a function that names what breaks it; ``LAWS`` lists them. A broker that is killed without warning delivers
again at once what was in flight, and a lost worker's tasks run again: so a task may begin more than once, and no law
forbids that.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from faults import handlers
from faults.evidence import Evidence
from support.measure import excess

_SHOWN = 5
"""Examples in a message."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What was asked for."""

    tasks: int
    rate: float | None
    burst: int
    max_attempts: int
    keeps_results: bool = True
    """Else a success leaves nothing but a task that is gone from the stream of work."""
    max_waiting: int | None = None
    """None: the broker may have forgotten what workers had taken."""
    tail_lost: bool = False
    """The broker lost acknowledged tasks, so they were released again: a worker may still tell when they first were."""


Law = Callable[[Evidence, Expected], Iterator[str]]


def check(evidence: Evidence, expected: Expected) -> list[str]:
    """Every violation, in words; none is what should be."""
    return [f"{law.__name__}: {what}" for law in LAWS for what in law(evidence, expected)]


def released_once(evidence: Evidence, expected: Expected) -> Iterator[str]:
    """Task ``i`` is at sequence ``i + 1``, and nowhere else."""
    if evidence.last_seq != expected.tasks:
        yield f"{evidence.last_seq} were released, of {expected.tasks}"
    moved = {(line.index, line.payload_index) for line in evidence.log if line.index != line.payload_index}
    if moved:
        yield f"task and payload differ: {_some(moved)}"
    times = [one.released for one in evidence.outcomes]
    if times != sorted(times) and not expected.tail_lost:
        yield "not released in the order of index"


def ended_once(evidence: Evidence, expected: Expected) -> Iterator[str]:
    if evidence.left:
        yield f"{evidence.left} are left in the stream of work"
    times = Counter(one.index for one in evidence.outcomes)
    if not expected.keeps_results:
        finished = {line.index for line in evidence.log if not line.begins}
        times |= Counter({index: 1 for index in finished if not _hopeless(index)})
    if missing := set(range(expected.tasks)) - set(times):
        yield f"no outcome of {len(missing)}: {_some(missing)}"
    if strange := set(times) - set(range(expected.tasks)):
        yield f"outcomes of tasks that are none: {_some(strange)}"
    if twice := {index for index, number in times.items() if number > 1}:
        yield f"two outcomes of {_some(twice)}"


def results_are_right(evidence: Evidence, expected: Expected) -> Iterator[str]:
    """A result is its own task's, and was made by a handler that came to its end."""
    finished = {line.index for line in evidence.log if not line.begins}
    succeeded = [one for one in evidence.outcomes if one.kind == "ok"]
    wrong = [one.index for one in succeeded if json.loads(one.body) != handlers.result_of(one.index)]
    if succeeded and not expected.keeps_results:
        yield f"{len(succeeded)} results were kept"
    if wrong:
        yield f"wrong results of {_some(wrong)}"
    if unmade := [one.index for one in succeeded if one.index not in finished]:
        yield f"results of tasks whose handler never came to its end: {_some(unmade)}"
    hopeless = (
        one.index for one in succeeded if handlers.gives_up(one.index) or handlers.always_fails(one.index)
    )
    if impossible := list(hopeless):
        yield f"success of tasks that can't succeed: {_some(impossible)}"


def buried_with_reason(evidence: Evidence, expected: Expected) -> Iterator[str]:
    """Nobody is given up who was not tried; and who was lost with workers, as often as attempts were allowed."""
    begun = Counter(line.index for line in evidence.log if line.begins)
    finished = Counter(line.index for line in evidence.log if not line.begins)
    for one in evidence.outcomes:
        if one.kind != "dead":
            continue
        if not begun[one.index]:
            yield f"task {one.index} was never tried and has a dead letter ({one.reason})"
        elif handlers.gives_up(one.index) and one.reason == "HandlerFailed":
            continue
        else:
            tries = (finished if one.reason == "MaxAttempts" else begun)[one.index]
            if tries < expected.max_attempts:
                yield (
                    f"task {one.index} has a dead letter ({one.reason}, {one.attempts} attempts) after {tries}"
                    f" of {expected.max_attempts} tries"
                )


def rate_is_kept(evidence: Evidence, expected: Expected) -> Iterator[str]:
    """In any window of W seconds at most ``rate * W + burst``, by the stream's own times."""
    if expected.rate is None or not evidence.outcomes:
        return  # of those that left no outcome the stream's times are gone with them
    above = excess(sorted(one.released for one in evidence.outcomes), expected.rate)
    if above > expected.burst + 1e-6 * len(evidence.outcomes):
        yield f"{above:.1f} above {expected.rate:g}/s in some window, {expected.burst} are allowed"


def back_pressure_holds(evidence: Evidence, expected: Expected) -> Iterator[str]:
    """Never more than ``maxWaiting`` are released and not yet taken by a worker."""
    if expected.max_waiting is not None and evidence.most_waiting > expected.max_waiting:
        yield f"{evidence.most_waiting} waited for a worker, {expected.max_waiting} may"


def status_is_true(evidence: Evidence, expected: Expected) -> Iterator[str]:
    dead = sum(one.kind == "dead" for one in evidence.outcomes)
    kept = sum(one.kind == "ok" for one in evidence.outcomes)
    truth = {
        "total": expected.tasks,
        "released": evidence.last_seq,
        "outstanding": evidence.left,
        "succeeded": kept if expected.keeps_results else expected.tasks - dead,
        "failed": dead,
    }
    tasks = evidence.status.get("tasks") or {}
    if wrong := {name: tasks.get(name) for name, value in truth.items() if tasks.get(name) != value}:
        yield f"status.tasks says {wrong}, the streams say {truth}"
    if (phase := evidence.status.get("phase")) != "Completed":
        yield f"phase is {phase}"
    reasons = {
        one["type"]: one.get("reason")
        for one in evidence.status.get("conditions") or []
        if one["status"] == "True"
    }
    reason = "CompletedWithFailures" if dead else "Completed"
    if reasons.get("Complete") != reason:
        yield f"conditions that are true: {reasons}, where Complete was to say {reason}"


def nothing_is_left_running(evidence: Evidence, expected: Expected) -> Iterator[str]:
    if evidence.processes:
        yield _some(evidence.processes)


LAWS: tuple[Law, ...] = (
    released_once,
    ended_once,
    results_are_right,
    buried_with_reason,
    rate_is_kept,
    back_pressure_holds,
    status_is_true,
    nothing_is_left_running,
)


def _hopeless(index: int) -> bool:
    return handlers.gives_up(index) or handlers.always_fails(index)


def _some(found: Iterable[object]) -> str:
    every = sorted(found, key=str)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(map(str, every[:_SHOWN])) + more
