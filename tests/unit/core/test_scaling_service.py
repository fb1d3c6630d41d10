"""The service time is learned from slots in use and attempts finished, and not misled by delayed retries."""

from __future__ import annotations

import pytest

from jobrun_operator.core.scaling_service import ServiceTime


def learned(
    service: ServiceTime, in_use: float, rate: float, behind: bool, start: int, seconds: int
) -> ServiceTime:
    for second in range(start, start + seconds):
        service = service.observe(in_use, rate, behind, float(second))
    return service


def test_slots_in_use_by_attempts_finished() -> None:
    assert learned(ServiceTime(), 32, 64, False, 0, 60).seconds == pytest.approx(0.5, rel=0.01)


def test_no_measure_before_every_slot_has_finished_two_rounds() -> None:
    service = learned(ServiceTime(), 160, 0, True, 0, 60)
    assert service.seconds is None
    assert learned(service, 160, 16, True, 60, 15).seconds is None


def test_a_batch_that_ends_at_once_shows_its_whole_time() -> None:
    """160 slots, tasks of 60 s that start together: in a window of 10 s there are 16 attempts/s, or none."""
    service = ServiceTime()
    for second in range(601):
        service = service.observe(
            160, 16.0 if second % 60 < 10 and second >= 60 else 0.0, True, float(second)
        )
        if second > 150:
            assert service.seconds is not None
            assert 40 < service.seconds < 100


def test_shorter_is_believed_longer_only_while_behind() -> None:
    service = learned(ServiceTime(), 32, 32, False, 0, 60)
    assert service.seconds == pytest.approx(1.0, rel=0.01)
    faster = learned(service, 16, 32, False, 60, 200)
    assert faster.seconds == pytest.approx(0.5, rel=0.05)
    assert learned(service, 320, 32, False, 60, 200).seconds == service.seconds
    slower = learned(service, 64, 32, True, 60, 200)
    assert slower.seconds == pytest.approx(2.0, rel=0.05)


def test_while_behind_it_grows_no_further_than_the_slots_explain() -> None:
    """Before, 500 delayed retries filled the slots of many workers; now few workers are busy for certain."""
    service = learned(ServiceTime(0.1), 500, 100, False, 0, 60)
    service = learned(service, 32, 100, True, 60, 5)
    assert service.seconds is not None
    assert service.seconds <= 0.32


def test_a_handler_that_hangs_lengthens_it() -> None:
    service = learned(ServiceTime(), 16, 160, True, 0, 60)
    assert service.seconds == pytest.approx(0.1, rel=0.01)
    course = [learned(service, 16, 0, True, 60, seconds).seconds or 0.0 for seconds in range(1, 60)]
    assert course == sorted(course)
    assert course[-1] > 0.4


def test_a_gap_is_not_counted() -> None:
    service = learned(ServiceTime(), 32, 64, False, 0, 60)
    after = service.observe(1000, 1, True, 10_000.0)
    assert (after.seconds, after.attempts, after.slot_seconds) == (
        service.seconds,
        service.attempts,
        service.slot_seconds,
    )
    assert service.pause(61.0).seconds == service.seconds


@pytest.mark.parametrize(
    ("seconds", "in_use", "rate", "busy"),
    [(None, 16, 5.0, 16), (0.1, 48, 100.0, 10), (0.1, 8, 100.0, 8), (0.1, 16, None, 16), (60.0, 48, 0.0, 48)],
)
def test_slots_that_are_busy_for_certain(
    seconds: float | None, in_use: int, rate: float | None, busy: float
) -> None:
    assert ServiceTime(seconds).busy(in_use, rate) == pytest.approx(busy)
