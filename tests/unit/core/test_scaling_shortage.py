"""A number of workers that fell behind is not tried again for a while."""

from __future__ import annotations

import pytest

from jobrun_operator.core.scaling import Observation, ScalingHistory, ScalingSettings, decide
from jobrun_operator.core.scaling_shortage import MEMORY_SECONDS, Shortage

KEEPS_UP = {"behind": False, "replicas": 1, "ready": 1}
FALLS_BEHIND = {"behind": True, "replicas": 1, "ready": 1}


@pytest.mark.parametrize(
    ("looks", "needed"),
    [
        ([KEEPS_UP, FALLS_BEHIND], 2),
        ([KEEPS_UP, KEEPS_UP], 0),
        ([FALLS_BEHIND], 0),  # has yet to catch up after its start
        ([KEEPS_UP, FALLS_BEHIND | {"ready": 0}], 0),  # it is not there, so it proves nothing
        ([KEEPS_UP, FALLS_BEHIND | {"replicas": 2, "ready": 2}], 0),
        ([KEEPS_UP | {"replicas": 3, "ready": 3}, FALLS_BEHIND | {"replicas": 3, "ready": 3}], 4),
        (
            [
                KEEPS_UP | {"replicas": 3, "ready": 3},
                FALLS_BEHIND | {"replicas": 3, "ready": 3},
                KEEPS_UP,
                FALLS_BEHIND,
            ],
            4,
        ),
        ([{"behind": False, "replicas": 0, "ready": 0}], 0),
    ],
)
def test_what_is_needed(looks: list[dict[str, int]], needed: int) -> None:
    shortage = Shortage()
    for second, look in enumerate(looks):
        shortage = shortage.observe(
            behind=bool(look["behind"]), replicas=look["replicas"], ready=look["ready"], now=float(second)
        )
    assert shortage.needed(len(looks)) == needed
    assert shortage.needed(len(looks) + MEMORY_SECONDS) == 0


def test_a_worker_whose_machine_gets_busy_gets_help_at_once_and_keeps_it() -> None:
    """100/s of tasks that take a moment: by their service time one worker would always do."""
    settings = ScalingSettings(max_replicas=5, drain_seconds=30, stabilization_seconds=5)
    history, replicas, asked = ScalingHistory(), 1, []
    for second in range(200):
        busy_machine = 60 <= second < 90 and replicas == 1
        seen = Observation(
            asked_rate=100.0,
            release_rate=100.0,
            waiting=150 if busy_machine else 0,
            outstanding=151 if busy_machine else 1,
            completion_rate=100.0,
            running=1,
            replicas=replicas,
            ready=replicas,
            more_to_release=True,
            remaining=10_000,
        )
        decision, history = decide(settings, seen, history, float(second))
        replicas = decision.replicas
        asked.append(replicas)
    assert asked[:60] == [1] * 60
    assert asked[60:] == [2] * 140
