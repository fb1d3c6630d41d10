"""The same seed is the same schedule, and a schedule makes sense."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, groupby

from faults.schedule import KINDS, choose, draw, draw_full


def test_the_same_seed_is_the_same_schedule() -> None:
    assert [draw(seed) for seed in range(50)] == [draw(seed) for seed in range(50)]
    assert len({draw(seed).faults for seed in range(50)}) == 50


def test_two_hundred_schedules_have_each_kind_of_fault_often() -> None:
    kinds = Counter(fault.kind for seed in range(200) for fault in draw(seed).faults)
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) >= 8, kinds


def test_faults_of_one_target_never_overlap() -> None:
    for seed in range(200):
        faults = sorted(draw(seed).faults, key=lambda fault: fault.target)
        for _, same in groupby(faults, key=lambda fault: fault.target):
            for one, other in combinations(same, 2):
                assert one.end < other.at or other.end < one.at


def test_a_schedule_says_all_that_it_is() -> None:
    text = str(draw(7))
    assert text.startswith("seed 7: ")
    assert text.count("\n") == len(draw(7).faults)


def test_every_fifth_schedule_is_at_full_rate_and_all_where_that_is_asked_for() -> None:
    assert [seed for seed in range(1, 21) if choose(seed).full_rate] == [5, 10, 15, 20]
    assert choose(7, full=True) == draw_full(7)
    shapes = {(choose(seed).batch_size, choose(seed).processes) for seed in (5, 10, 15, 20)}
    assert shapes == {(None, 1), (100, 1), (None, 2), (100, 2)}


def test_at_full_rate_worker_engine_and_broker_are_killed_among_tens_of_thousands_of_tasks() -> None:
    for seed in range(50):
        full = draw_full(seed)
        assert full == draw_full(seed)
        assert {"worker-killed", "engine-killed", "broker-killed"} <= full.kinds
        assert full.tasks >= 20_000
        assert full.rate is None
        assert full.keeps_results
