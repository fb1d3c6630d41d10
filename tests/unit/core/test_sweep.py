"""Nothing is swept without proof: rows, and laws over any course of sweeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrun_operator.core.sweep import LEAST_AGE, LEAST_DENIALS, OwnedStreams, Suspects, candidates, judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def streams(uid: str = "a", *, age: timedelta = LEAST_AGE, namespace: str = "shop") -> OwnedStreams:
    return OwnedStreams(namespace, "run", uid, NOW - age)


@pytest.mark.parametrize(
    ("stream", "known", "namespaces", "asked"),
    [
        (streams(), (), None, True),
        (streams(), ("a",), None, False),
        (streams(), ("b",), None, True),
        (streams(age=LEAST_AGE - SECOND), (), None, False),
        (streams(age=-SECOND), (), None, False),  # a clock that went back
        (streams(), (), {"shop"}, True),
        (streams(), (), {"elsewhere"}, False),
        (streams(), (), set(), False),
    ],
)
def test_who_is_asked_about(
    stream: OwnedStreams, known: tuple[str, ...], namespaces: set[str] | None, asked: bool
) -> None:
    assert bool(candidates([stream], known=known, namespaces=namespaces, now=NOW)) is asked


ANSWERS = st.lists(st.dictionaries(st.sampled_from("abc"), st.booleans()), max_size=8)


@given(ANSWERS)
def test_condemned_only_after_denials_in_a_row(course: list[dict[str, bool]]) -> None:
    suspects = Suspects({})
    row: dict[str, int] = {}
    for answers in course:
        suspects, condemned = judge(suspects, answers)
        row = {uid: row.get(uid, 0) + 1 for uid, exists in answers.items() if not exists}
        assert set(condemned) == {uid for uid, count in row.items() if count >= LEAST_DENIALS}
        row = {uid: count for uid, count in row.items() if uid not in condemned}
        assert suspects.denials == row


@given(ANSWERS, st.sampled_from("abc"))
def test_one_that_exists_or_was_not_asked_about_is_never_condemned(
    course: list[dict[str, bool]], uid: str
) -> None:
    suspects = Suspects({})
    for number, answers in enumerate(course):
        seen = {**answers, uid: True} if number % 2 else {k: v for k, v in answers.items() if k != uid}
        suspects, condemned = judge(suspects, seen)
        assert uid not in condemned
