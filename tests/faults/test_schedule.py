"""The same seed is the same schedule, and a schedule makes sense."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, groupby

from faults.schedule import KINDS, draw


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
