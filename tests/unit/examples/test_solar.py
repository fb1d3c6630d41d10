"""The solar equations against published values, and against another way of computing them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType

import pytest

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def solar(example: Callable[[str, str], ModuleType]) -> ModuleType:
    return example("daylight", "solar")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_position_is_that_of_meeus(solar: ModuleType) -> None:
    """Astronomical Algorithms, 2nd edition, examples 25.a and 28.a: 1992 October 13 at 0h."""
    declination, equation_of_time = solar.position(utc("1992-10-13"))
    assert declination == pytest.approx(-7.78507, abs=1e-5)
    assert equation_of_time == pytest.approx(13 + 42.6 / 60, abs=0.002)


def test_times_are_those_of_nrel(solar: ModuleType) -> None:
    """The sample of NREL's Solar Position Algorithm (NREL/TP-560-34302, spa_tester.c): Golden, 2003 October 17.

    It gives sunrise and sunset of one day of UTC, so its sunset is that of the local day before.
    """
    golden = (39.742476, -105.1786)
    noon = utc("2003-10-17 19:00")
    assert abs(solar.solar_day(*golden, noon).sunrise - utc("2003-10-17 13:12:43")) < 0.1 * MINUTE
    assert (
        abs(solar.solar_day(*golden, noon - timedelta(days=1)).sunset - utc("2003-10-17 00:20:19"))
        < 0.1 * MINUTE
    )


# By PyEphem 4 (XEphem's libastro: VSOP87, not NOAA's equations), zenith 90.833°, no further refraction.
# Airport, latitude, longitude, a time of day near its noon, sunrise and sunset; all in UTC.
EPHEM = """
LHR      51.4706    -0.46194  2026-06-21T11:00  2026-06-21T03:44:39  2026-06-21T20:22:41
JFK    40.639928  -73.778692  2026-12-21T17:00  2026-12-21T12:15:27  2026-12-21T21:31:07
SIN      1.35019     103.994  2026-03-20T04:00  2026-03-19T23:08:19  2026-03-20T11:14:47
SYD     -33.9461     151.177  2026-01-01T01:00  2025-12-31T18:47:26  2026-01-01T09:09:43
APW       -13.83    -172.008  2026-09-30T23:00  2026-09-30T17:11:34  2026-10-01T05:24:21
SCL      -33.393    -70.7858  2026-06-21T16:00  2026-06-21T11:46:52  2026-06-21T21:43:09
NAN     -17.7554   177.44299  2026-02-14T00:00  2026-02-13T18:03:35  2026-02-14T06:44:54
FAI    64.815356 -147.856667  2026-06-21T20:00  2026-06-21T10:59:03  2026-06-22T08:47:30
KEF       63.985    -22.6056  2026-12-21T12:00  2026-12-21T11:22:17  2026-12-21T15:34:45
LYR      78.2461     15.4656  2026-10-01T10:00  2026-10-01T05:33:25  2026-10-01T15:58:53
USH     -54.8433    -68.2958  2026-12-21T15:00  2026-12-21T07:51:07  2026-12-22T01:11:34
SYA    52.712258  174.113589  2026-09-01T21:00  2026-09-01T17:34:50  2026-09-02T07:10:48
"""


@pytest.mark.parametrize("row", EPHEM.strip().splitlines(), ids=lambda row: row[:3])
def test_times_are_those_of_an_ephemeris(solar: ModuleType, row: str) -> None:
    _, latitude, longitude, around, sunrise, sunset = row.split()
    day = solar.solar_day(float(latitude), float(longitude), utc(around))
    assert day.sun == "RisesAndSets"
    assert abs(day.sunrise - utc(sunrise)) < MINUTE / 2
    assert abs(day.sunset - utc(sunset)) < MINUTE / 2
    assert day.sunrise < day.noon < day.sunset


@pytest.mark.parametrize(
    ("place", "latitude", "longitude", "around", "sun"),
    [
        ("Longyearbyen", 78.2461, 15.4656, "2026-06-21 12:00", "UpAllDay"),
        ("Longyearbyen", 78.2461, 15.4656, "2026-12-21 12:00", "DownAllDay"),
        ("Union Glacier", -79.77778, -83.32083, "2026-06-21 16:00", "DownAllDay"),
        ("Union Glacier", -79.77778, -83.32083, "2026-12-21 16:00", "UpAllDay"),
        ("the South Pole", -90.0, 0.0, "2026-12-21 12:00", "UpAllDay"),
        ("the North Pole", 90.0, 0.0, "2026-12-21 12:00", "DownAllDay"),
    ],
)
def test_near_the_poles_the_sun_may_not_move(
    solar: ModuleType, place: str, latitude: float, longitude: float, around: str, sun: str
) -> None:
    day = solar.solar_day(latitude, longitude, utc(around))
    assert (day.sun, day.sunrise, day.sunset) == (sun, None, None), place
