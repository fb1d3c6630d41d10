"""Sunrise, solar noon and sunset by NOAA's solar equations.

Source: NOAA Global Monitoring Laboratory, "Solar Calculation Details"
(https://gml.noaa.gov/grad/solcalc/calcdetails.html), which follow Jean Meeus, "Astronomical Algorithms",
chapters 25 and 28. Accurate to a minute between 72° south and 72° north, to ten minutes nearer to the poles, for the
years 1800 to 2100, at sea level with a free horizon.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import acos, asin, cos, degrees, radians, sin, tan

ZENITH = 90.833
"""Degrees from straight up to the sun's centre at sunrise: 90, half the sun's disc, and refraction in the air."""

MINUTES_PER_DEGREE = 4.0
"""The Earth turns by a degree in so many minutes."""

_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)
_DAYS_IN_CENTURY = 36525.0
_HALF_A_DAY = timedelta(hours=12)
_PASSES = 3
"""The sun moves on while one computes: each pass uses its place at the time that the one before found."""


class Sun(StrEnum):
    """What the sun does on a day."""

    RISES_AND_SETS = "RisesAndSets"
    UP_ALL_DAY = "UpAllDay"
    DOWN_ALL_DAY = "DownAllDay"


@dataclass(frozen=True, slots=True)
class SolarDay:
    """The times in UTC; without sunrise and sunset where the sun is up or down all day."""

    sun: Sun
    noon: datetime
    sunrise: datetime | None = None
    sunset: datetime | None = None


def solar_day(latitude: float, longitude: float, around: datetime) -> SolarDay:
    """The day whose solar noon is the nearest to ``around``. Degrees, north and east positive."""
    noon = _noon(longitude, around)
    hour_angle = _cos_hour_angle(latitude, noon)
    if hour_angle < -1:
        return SolarDay(Sun.UP_ALL_DAY, noon)
    if hour_angle > 1:
        return SolarDay(Sun.DOWN_ALL_DAY, noon)
    sunrise = sunset = noon
    for _ in range(_PASSES):
        sunrise = _noon(longitude, noon, at=sunrise) - _half_day_of_light(latitude, sunrise)
        sunset = _noon(longitude, noon, at=sunset) + _half_day_of_light(latitude, sunset)
    return SolarDay(Sun.RISES_AND_SETS, noon, sunrise, sunset)


def position(instant: datetime) -> tuple[float, float]:
    """The sun's declination in degrees, and the equation of time (sundial minus clock) in minutes."""
    t = (instant - _J2000) / timedelta(days=1) / _DAYS_IN_CENTURY
    mean_longitude = radians((280.46646 + t * (36000.76983 + t * 0.0003032)) % 360)
    anomaly = radians(357.52911 + t * (35999.05029 - t * 0.0001537))
    eccentricity = 0.016708634 - t * (0.000042037 + t * 0.0000001267)
    centre = (
        sin(anomaly) * (1.914602 - t * (0.004817 + t * 0.000014))
        + sin(2 * anomaly) * (0.019993 - t * 0.000101)
        + sin(3 * anomaly) * 0.000289
    )
    node = radians(125.04 - 1934.136 * t)
    apparent_longitude = mean_longitude + radians(centre - 0.00569 - 0.00478 * sin(node))
    mean_obliquity = 23 + (26 + (21.448 - t * (46.815 + t * (0.00059 - t * 0.001813))) / 60) / 60
    obliquity = radians(mean_obliquity + 0.00256 * cos(node))

    declination = asin(sin(obliquity) * sin(apparent_longitude))
    y = tan(obliquity / 2) ** 2
    equation_of_time = (
        y * sin(2 * mean_longitude)
        - 2 * eccentricity * sin(anomaly)
        + 4 * eccentricity * y * sin(anomaly) * cos(2 * mean_longitude)
        - y * y / 2 * sin(4 * mean_longitude)
        - 5 / 4 * eccentricity**2 * sin(2 * anomaly)
    )
    return degrees(declination), degrees(equation_of_time) * MINUTES_PER_DEGREE


def _noon(longitude: float, around: datetime, at: datetime | None = None) -> datetime:
    """The solar noon nearest to ``around``, by the equation of time of the moment ``at``."""
    _, equation_of_time = position(at or around)
    midnight = around.replace(hour=0, minute=0, second=0, microsecond=0)
    noon = midnight + timedelta(minutes=720 - MINUTES_PER_DEGREE * longitude - equation_of_time)
    while noon - around > _HALF_A_DAY:
        noon -= 2 * _HALF_A_DAY
    while around - noon > _HALF_A_DAY:
        noon += 2 * _HALF_A_DAY
    return noon


def _half_day_of_light(latitude: float, instant: datetime) -> timedelta:
    hour_angle = acos(max(-1.0, min(1.0, _cos_hour_angle(latitude, instant))))
    return timedelta(minutes=degrees(hour_angle) * MINUTES_PER_DEGREE)


def _cos_hour_angle(latitude: float, instant: datetime) -> float:
    """The cosine of how far the Earth turns between sunrise and noon: over 1 is polar night, under -1 polar day."""
    declination = radians(position(instant)[0])
    phi = radians(latitude)
    return cos(radians(ZENITH)) / (cos(phi) * cos(declination)) - tan(phi) * tan(declination)
