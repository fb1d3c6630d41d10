"""A consumer is made again only where three looks in a row show the same impossible thing."""

from __future__ import annotations

import dataclasses

import pytest

from jobrun_operator.core.stuck import Look, Watch

STUCK = Look(last_seq=100, messages=5, waiting=0, held=0, deliveries=120)


def watch(*looks: Look) -> Watch:
    seen = Watch()
    for look in looks:
        seen = seen.after(look)
    return seen


@pytest.mark.parametrize("looks", [0, 1, 2, 3, 4])
def test_three_looks(looks: int) -> None:
    assert watch(*[STUCK] * looks).is_stuck is (looks >= 3)


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(STUCK, waiting=1),
        dataclasses.replace(STUCK, held=1),
        dataclasses.replace(STUCK, messages=0),
        dataclasses.replace(STUCK, messages=4),
        dataclasses.replace(STUCK, last_seq=101),
        dataclasses.replace(STUCK, deliveries=121),
    ],
)
def test_any_change_begins_the_count_again(other: Look) -> None:
    assert not watch(STUCK, STUCK, other, STUCK, STUCK).is_stuck
    assert watch(STUCK, STUCK, other, STUCK, STUCK, STUCK).is_stuck


@pytest.mark.parametrize(
    "fine",
    [
        Look(100, 0, 0, 0, 100),
        Look(100, 5, 5, 0, 95),
        Look(100, 5, 0, 5, 100),
    ],
)
def test_a_run_at_rest_is_not_stuck(fine: Look) -> None:
    assert not watch(*[fine] * 10).is_stuck
