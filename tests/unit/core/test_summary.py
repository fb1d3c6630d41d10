"""Numbers as people read them."""

from __future__ import annotations

import pytest

from jobrun_operator.core import summary
from jobrun_operator.core.counts import Counts, count


def _counts(total: int, ended: int, released: int | None = None) -> Counts:
    released = ended if released is None else released
    return count(
        total=total,
        last_seq=released,
        messages=released - ended,
        waiting=0,
        failed=0,
        kept=None,
        redeliveries=0,
    )


@pytest.mark.parametrize(
    ("ended", "total", "shown"),
    [
        (0, 10, "0%"),
        (61_234, 100_000, "61%"),
        (999_999, 1_000_000, "99%"),
        (10, 10, "100%"),
        (0, 0, "0%"),
        (1, 10**9, "0%"),
    ],
)
def test_progress_is_rounded_down(ended: int, total: int, shown: str) -> None:
    assert summary.percent(_counts(total, ended)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"), (0, "0s"), (0.4, "0s"), (1, "1s"), (45, "45s"), (59.6, "1m"), (60, "1m"), (90, "1m30s"),
        (600, "10m"), (659, "10m"), (3599, "59m"), (3600, "1h"), (5400, "1h30m"), (79_200, "22h"),
        (86_400, "1d"), (273_600, "3d4h"), (86_400 * 400, "400d"), (200_000, "2d7h"),
    ],
)  # fmt: skip
def test_durations_of_a_column(seconds: float, shown: str) -> None:
    assert summary.duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (2_000_000 / 10, "55 h 33 min"), (0.25, "0.2 s"), (9.5, "9.5 s"), (10, "10 s"), (119, "119 s"), (120, "2 min"),
        (720, "12 min"), (3599, "1 h"), (3600, "1 h"), (7199, "2 h"), (86_400 * 3, "72 h"), (3660, "1 h 1 min"),
    ],
)  # fmt: skip
def test_durations_of_a_sentence(seconds: float, shown: str) -> None:
    assert summary.spoken_duration(seconds) == shown


@pytest.mark.parametrize(
    ("now", "asked", "shown"),
    [
        (598 / 60, (600, 60), "598/600/min"),
        (0, (600, 60), "0/600/min"),
        (12.34, (10, 1), "12/10/s"),
        (0.5, (1, 1), "0.5/1/s"),
        (2.0, (7200, 3600), "7200/7200/h"),
        (1 / 86_400, (1, 86_400), "1/1/d"),
        (7 / 90, (7, 90), "4.7/4.7/min"),
        (100.0, (300, 3), "100/100/s"),
        (1.0, (100, 101), "60/59/min"),
        (0, (1, 864_000), "0/0.1/d"),
        (0, (1, 31_536_000), "0/0.003/d"),
        (9.96 / 60, (10, 60), "10/10/min"),
        (1234.4, None, "1234/s"),
        (0.25, None, "0.2/s"),
        (0.0, None, "0/s"),
    ],
)
def test_rates(now: float, asked: tuple[int, int] | None, shown: str) -> None:
    assert summary.rate(now, asked) == shown


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ((600, 60), "600/min"),
        ((7, 90), "4.7/min"),
        ((2_000_000, 200_000), "10/s"),
        ((1, 3600), "1/h"),
        ((1, 31_536_000), "0.003/d"),
    ],
)
def test_an_asked_rate_alone(asked: tuple[int, int], shown: str) -> None:
    assert summary.asked_rate(asked) == shown


@pytest.mark.parametrize(
    ("counts", "ended_per_second", "asked", "seconds"),
    [
        (_counts(100, 100), 0.0, 10.0, 0.0),
        (_counts(100, 0), 0.0, None, None),
        (_counts(100, 20), 4.0, None, 20.0),
        (_counts(100, 0), 0.0, 10.0, 10.0),
        (_counts(100, 0, 20), 0.0, 10.0, None),  # released, and nothing has ended yet
        (_counts(100, 10, 20), 0.0, 10.0, 8.0),
        (_counts(100, 40, 50), 10.0, 10.0, 6.0),  # fifty to release, ten to end
        (_counts(100, 40, 50), 1.0, 10.0, 60.0),  # workers are slower than the rate
        (_counts(100, 90, 100), 2.0, 10.0, 5.0),
        (_counts(100, 90, 100), 0.0, 10.0, None),  # nothing ends, so nothing tells when the rest will
        (_counts(100, 50), 1e6, 10.0, 5.0),  # never sooner than the rate lets it
    ],
)
def test_eta(counts: Counts, ended_per_second: float, asked: float | None, seconds: float | None) -> None:
    found = summary.eta_seconds(counts, ended_per_second, asked)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_the_columns() -> None:
    columns = summary.summarize(
        _counts(100_000, 61_234),
        released_per_second=598 / 60,
        asked=(600, 60),
        ready=2,
        wanted=3,
        eta=79_200.0,
    )
    assert columns.to_wire() == {"progress": "61%", "rate": "598/600/min", "workers": "2/3", "eta": "22h"}
