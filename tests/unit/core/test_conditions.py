"""The conditions of a run by its phase, as kubectl wait, kstatus and Job's own readers expect them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobrun_operator.api import Condition, ConditionType, Phase
from jobrun_operator.core.conditions import Standing, render
from jobrun_operator.core.lifecycle import Fault
from jobrun_operator.core.reasons import Reason

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
TROUBLE = Fault(Reason.BROKER_UNAVAILABLE, "no answer")
FAILING = Fault(Reason.FAILURE_POLICY, "too many")
ORDER = [
    ConditionType.COMPLETE,
    ConditionType.FAILURE_TARGET,
    ConditionType.FAILED,
    ConditionType.FINISHED,
    ConditionType.SUSPENDED,
    ConditionType.READY,
    ConditionType.STALLED,
    ConditionType.RECONCILING,
]


def standing(phase: Phase, failing: Fault | None = None, trouble: Fault | None = None) -> Standing:
    return Standing(phase, Reason.OTHER, "because", failing=failing, trouble=trouble)


def shown(*steps: Standing) -> dict[str, str]:
    """type: status after these steps."""
    return {condition.type: condition.status.value for condition in rendered(*steps)}


def rendered(*steps: Standing) -> tuple[Condition, ...]:
    conditions: tuple[Condition, ...] = ()
    for number, step in enumerate(steps):
        conditions = render(conditions, step, generation=number, now=NOW + number * timedelta(minutes=5))
    return conditions


def test_a_condition_that_says_the_same_is_the_same() -> None:
    """Most looks find nothing new, and what is the same object needs no comparing."""
    before = render((), standing(Phase.RUNNING), generation=3, now=NOW)
    assert render(before, standing(Phase.RUNNING), generation=3, now=LATER)[0] is before[0]
    (later,) = render(before, standing(Phase.RUNNING), generation=4, now=LATER)
    assert (later.observed_generation, later.last_transition_time) == (4, NOW)
    (other,) = render(before, Standing(Phase.RUNNING, Reason.OTHER, "else"), generation=3, now=LATER)
    assert (other.message, other.last_transition_time) == ("else", NOW)


PENDING, RUNNING = standing(Phase.PENDING), standing(Phase.RUNNING)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([PENDING], {"Ready": "False", "Reconciling": "True"}),
        ([PENDING, RUNNING], {"Ready": "True"}),
        ([RUNNING, standing(Phase.RUNNING, trouble=TROUBLE)], {"Ready": "False"}),
        ([standing(Phase.SUSPENDED)], {"Suspended": "True", "Ready": "False"}),
        ([standing(Phase.SUSPENDED), RUNNING], {"Suspended": "False", "Ready": "True"}),
        ([RUNNING, standing(Phase.COMPLETED)], {"Complete": "True", "Finished": "True", "Ready": "True"}),
        ([RUNNING, standing(Phase.RUNNING, FAILING)], {"FailureTarget": "True", "Ready": "False"}),
        (
            [RUNNING, standing(Phase.RUNNING, FAILING), standing(Phase.FAILED, FAILING)],
            {
                "FailureTarget": "True",
                "Failed": "True",
                "Finished": "True",
                "Ready": "False",
                "Stalled": "True",
            },
        ),
    ],
)
def test_by_phase(steps: list[Standing], expected: dict[str, str]) -> None:
    assert shown(*steps) == expected


def kstatus(conditions: tuple[Condition, ...]) -> str:
    """What kstatus computes of conditions (sigs.k8s.io/cli-utils, status.checkGenericProperties)."""
    true = {condition.type for condition in conditions if condition.is_true}
    if "Stalled" in true:
        return "Failed"
    if "Reconciling" in true:
        return "InProgress"
    return "Current" if "Ready" in true else "InProgress"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (PENDING, "InProgress"),
        (RUNNING, "Current"),
        (standing(Phase.COMPLETED), "Current"),
        (standing(Phase.SUSPENDED), "InProgress"),
        (standing(Phase.RUNNING, FAILING), "InProgress"),
        (standing(Phase.FAILED, FAILING), "Failed"),
    ],
)
def test_kstatus(step: Standing, expected: str) -> None:
    assert kstatus(rendered(step)) == expected


def test_the_time_moves_with_the_status_only() -> None:
    before = render((), RUNNING, generation=1, now=NOW)
    same = render(before, Standing(Phase.RUNNING, Reason.RESUMED, "other words"), generation=2, now=LATER)
    (ready,) = same
    assert (ready.last_transition_time, ready.message, ready.reason) == (NOW, "other words", "Resumed")
    assert ready.observed_generation == 2
    (ready,) = render(same, standing(Phase.RUNNING, trouble=TROUBLE), generation=2, now=LATER)
    assert ready.last_transition_time == LATER


def test_why_is_what_is_nearest() -> None:
    (ready,) = rendered(standing(Phase.RUNNING, trouble=TROUBLE))
    assert (ready.reason, ready.message) == ("BrokerUnavailable", "no answer")
    target, ready = rendered(standing(Phase.RUNNING, failing=FAILING, trouble=TROUBLE))
    assert (target.reason, ready.reason) == ("FailurePolicyExceeded", "FailurePolicyExceeded")


def test_the_order_is_always_the_same() -> None:
    everything = rendered(
        standing(Phase.SUSPENDED), RUNNING, standing(Phase.RUNNING, FAILING), standing(Phase.FAILED, FAILING)
    )
    types = [condition.type for condition in everything]
    assert types == [type_ for type_ in ORDER if type_ in types]
    assert len(types) == 6
    again = render(tuple(reversed(everything)), standing(Phase.FAILED, FAILING), generation=3, now=LATER)
    assert again == everything


@pytest.mark.parametrize("phase", Phase)
def test_rendering_again_changes_nothing(phase: Phase) -> None:
    once = render((), standing(phase), generation=1, now=NOW)
    assert render(once, standing(phase), generation=1, now=LATER) == once
