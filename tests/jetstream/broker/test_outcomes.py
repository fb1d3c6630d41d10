"""Outcomes as workers store them by the wire contract: the first wins, and each is counted once."""

from __future__ import annotations

import pytest

from jobrun_operator.engine.ports import Ends, FailedAttempt
from jobrun_operator.errors import Gone
from jobrun_worker.wire import AttemptRecord
from support.broker_bench import RUN, SOURCE, UID, Bench, outcome, payloads


@pytest.fixture(autouse=True)
async def _run(bench: Bench) -> None:
    await bench.streams.provision(RUN, SOURCE)


async def test_none_at_first(bench: Bench) -> None:
    assert await bench.observer.ends(UID, exact=True) == Ends(0, 0)
    assert list(await bench.observer.last_errors(UID)) == []


async def test_dead_letters_and_results_are_counted_apart(bench: Bench) -> None:
    for index in range(7):
        assert await bench.store_outcome(UID, outcome(index, succeeded=index >= 3))
    assert await bench.observer.ends(UID, exact=True) == Ends(failed=3, succeeded=4)
    assert await bench.observer.ends(UID, results=False, exact=True) == Ends(failed=3, succeeded=0)


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (False, False), (True, True)])
async def test_the_first_outcome_wins(bench: Bench, first: bool, second: bool) -> None:
    assert await bench.store_outcome(UID, outcome(5, succeeded=first))
    assert not await bench.store_outcome(UID, outcome(5, succeeded=second))
    assert await bench.store_outcome(UID, outcome(55, succeeded=second))
    assert await bench.observer.ends(UID, exact=True) == Ends(
        failed=(not first) + (not second), succeeded=first + second
    )


async def test_an_overwritten_dead_letter_counts_once_and_a_removed_one_not(bench: Bench) -> None:
    for index in range(3):
        await bench.store_outcome(UID, outcome(index))
    await bench.overwrite_dead(UID, outcome(1, error="again"))
    assert await bench.observer.ends(UID, exact=True) == Ends(3, 0)
    await bench.remove_dead(UID, 0)
    assert await bench.observer.ends(UID, exact=True) == Ends(2, 0)
    await bench.overwrite_dead(UID, outcome(2, error="and again"))
    assert await bench.observer.ends(UID, exact=True) == Ends(2, 0)


async def test_attempts_are_no_outcomes(bench: Bench) -> None:
    await bench.store_attempt(UID, 1, AttemptRecord(failures=1, error="once"))
    assert await bench.observer.ends(UID, exact=True) == Ends(0, 0)


async def test_the_newest_attempt_and_dead_letter_are_shown(bench: Bench) -> None:
    await bench.store_attempt(UID, 3, AttemptRecord(failures=1, returns=2, error="old"))
    await bench.store_attempt(UID, 4, AttemptRecord(failures=2, error='new "ä"\n'))
    await bench.store_outcome(UID, outcome(8, error="dead"))
    await bench.store_outcome(UID, outcome(9, error='deader "ö"\n', attempts=3))
    attempt, dead = await bench.observer.last_errors(UID)
    assert attempt == FailedAttempt(2, 4, 2, 'new "ä"\n')
    assert dead == FailedAttempt(4, 9, 3, 'deader "ö"\n')


async def test_a_task_that_was_only_handed_back_has_no_error(bench: Bench) -> None:
    await bench.store_attempt(UID, 3, AttemptRecord(returns=2))
    assert list(await bench.observer.last_errors(UID)) == []


async def test_counting_does_not_depend_on_the_work(bench: Bench) -> None:
    await bench.publisher.release(UID, 0, payloads(2))
    await bench.store_outcome(UID, outcome(0))
    depth = await bench.observer.depth(UID)
    assert depth is not None
    assert depth.messages == 2  # stored, and not yet acked
    assert await bench.observer.ends(UID, exact=True) == Ends(1, 0)


async def test_lost_counters_are_told_from_none_and_count_all_when_made_again(bench: Bench) -> None:
    await bench.store_outcome(UID, outcome(0))
    await bench.store_outcome(UID, outcome(1, succeeded=True))
    await bench.lose_counters(UID)
    assert await bench.observer.ends(UID, exact=True) is None
    await bench.streams.rebuild_counters(UID)
    await bench.streams.rebuild_counters(UID)
    assert await bench.observer.ends(UID, exact=True) == Ends(1, 1)


async def test_lost_outcomes_are_told_from_none(bench: Bench) -> None:
    await bench.lose_outcomes(UID)
    with pytest.raises(Gone):
        await bench.observer.ends(UID, exact=True)
