"""When does the sun rise and set at an airport? One task is one airport, one row of airports.csv.

Times are those of the airport's own clocks, for today's date in UTC or the one in DAYLIGHT_DATE (2026-06-21).

The sums take well under a millisecond. DAYLIGHT_LATENCY_MS (50) is slept besides, in place of what such runs
really wait for: the answer of a partner's API. Set it to 0 to see the run without.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import zones
from solar import solar_day

from jobrun_worker import Fail

Airport = dict[str, str]

# Read, and refused, when the worker starts: a bad setting is no reason for thousands of dead letters.
LATENCY_SECONDS = float(os.environ.get("DAYLIGHT_LATENCY_MS") or 50) / 1000
DATE = date.fromisoformat(os.environ["DAYLIGHT_DATE"]) if os.environ.get("DAYLIGHT_DATE") else None
zones.current()


async def times(airport: Airport) -> dict[str, str | None]:
    """The handler: a row of airports.csv in, a day of daylight out."""
    await asyncio.sleep(LATENCY_SECONDS)
    return daylight(airport, DATE or datetime.now(UTC).date())


def daylight(airport: Airport, day: date) -> dict[str, str | None]:
    """Raises Fail for a record that has no answer: it needs a person, not another attempt."""
    zone = _zone(airport)
    latitude, longitude = _degrees(airport, "latitude", 90), _degrees(airport, "longitude", 180)
    clock_noon = datetime.combine(day, time(12), zone).astimezone(UTC)
    solar = solar_day(latitude, longitude, clock_noon)
    sunrise, sunset = _minute(solar.sunrise), _minute(solar.sunset)
    return {
        "iata": airport["iata"],
        "name": airport["name"],
        "place": ", ".join(airport[part] for part in ("city", "region", "country") if airport[part]),
        "date": day.isoformat(),
        "timezone": zone.key,
        "sun": solar.sun,
        "sunrise": _local(sunrise, zone),
        "solarNoon": _local(_minute(solar.noon), zone),
        "sunset": _local(sunset, zone),
        "dayLength": _hours(sunset - sunrise) if sunrise and sunset else None,
    }


def _zone(airport: Airport) -> ZoneInfo:
    name = airport["timezone"]
    if not name:
        raise Fail("the airport has no time zone")
    if name not in zones.current():
        raise Fail(f"the time zone {name} is retired or unknown: the tz database lists it for no country")
    return ZoneInfo(name)


def _degrees(airport: Airport, field: str, limit: int) -> float:
    try:
        value = float(airport[field])
    except ValueError:
        raise Fail(f"the {field} {airport[field]!r} is not a number") from None
    if not -limit <= value <= limit:
        raise Fail(f"the {field} {value:g} is not between -{limit} and {limit} degrees")
    return value


def _minute(instant: datetime | None) -> datetime | None:
    """To the nearest minute: more would promise more than the equations hold."""
    return (instant + timedelta(seconds=30)).replace(second=0, microsecond=0) if instant else None


def _local(instant: datetime | None, zone: ZoneInfo) -> str | None:
    return instant.astimezone(zone).isoformat(timespec="minutes") if instant else None


def _hours(length: timedelta) -> str:
    hours, minutes = divmod(round(length / timedelta(minutes=1)), 60)
    return f"{hours}:{minutes:02}"
