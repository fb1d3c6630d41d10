"""What is due after a run has ended, row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobrun_operator.api import JobRun, JobRunStatus, Phase
from jobrun_operator.core.cleanup import Due, due
from support.manifests import manifest

ENDED = datetime(2026, 1, 1, tzinfo=UTC)


def ended(cleanup: int, ttl: int | None) -> JobRun:
    spec = {"cleanupSecondsAfterFinished": cleanup} | (
        {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
    )
    run = JobRun.from_wire(manifest(**spec))
    return run.with_status(JobRunStatus(phase=Phase.COMPLETED, completion_time=ENDED))


@pytest.mark.parametrize(
    ("cleanup", "ttl", "age", "freed", "expected"),
    [
        (100, None, 0, False, Due(free=False, delete=False, again_in=100)),
        (100, None, 99.5, False, Due(free=False, delete=False, again_in=0.5)),
        (100, None, 100, False, Due(free=True, delete=False, again_in=None)),
        (100, None, 100, True, Due(free=False, delete=False, again_in=None)),
        (0, None, 0, False, Due(free=True, delete=False, again_in=None)),
        (100, 200, 0, False, Due(free=False, delete=False, again_in=100)),
        (100, 200, 150, False, Due(free=True, delete=False, again_in=50)),
        (100, 200, 150, True, Due(free=False, delete=False, again_in=50)),
        (100, 200, 200, True, Due(free=False, delete=True, again_in=None)),
        (200, 100, 100, False, Due(free=False, delete=True, again_in=None)),
        (100, 0, 0, False, Due(free=False, delete=True, again_in=None)),
    ],
)
def test_due(cleanup: int, ttl: int | None, age: float, freed: bool, expected: Due) -> None:
    assert due(ended(cleanup, ttl), freed=freed, now=ENDED + timedelta(seconds=age)) == expected


def test_nothing_is_due_before_the_end() -> None:
    run = JobRun.from_wire(manifest(cleanupSecondsAfterFinished=0, ttlSecondsAfterFinished=0))
    assert due(run, freed=False, now=ENDED) == Due(free=False, delete=False, again_in=None)
