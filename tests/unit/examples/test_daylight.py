"""The handler of the demo: every real record, what a result holds, and what is refused with which words."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jobrun_worker import Fail

AIRPORTS = Path(__file__).parents[3] / "examples" / "daylight" / "airports.csv"
LONGEST_DAY = date(2026, 6, 21)
RETIRED = {"Europe/Zaporozhye", "Europe/Uzhgorod", "America/Yellowknife", "America/Thunder_Bay"}


@pytest.fixture(scope="module")
def daylight(example: Callable[[str, str], ModuleType]) -> Any:
    return example("daylight", "daylight").daylight


@pytest.fixture(scope="module")
def airports() -> dict[str, dict[str, str]]:
    with AIRPORTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    found = {row["iata"]: row for row in rows}
    assert len(found) == len(rows) == 7884
    return found


def test_every_record_has_an_answer_or_a_reason(daylight: Any, airports: dict[str, dict[str, str]]) -> None:
    refused: dict[str, str] = {}
    for code, airport in airports.items():
        try:
            result = daylight(airport, LONGEST_DAY)
        except Fail as reason:
            refused[code] = str(reason)
        else:
            assert (result["sunrise"] is None) == (result["sun"] != "RisesAndSets"), code
            assert datetime.fromisoformat(result["solarNoon"]).date() == LONGEST_DAY, code
            json.dumps(result, allow_nan=False)
    assert {airports[code]["timezone"] for code in refused} >= RETIRED
    assert len(refused) < len(airports) // 100, "more than the manifest's failurePolicy allows"
    assert all("time zone" in reason for reason in refused.values()), refused


def test_a_result_is_what_a_person_wants_to_know(daylight: Any, airports: dict[str, dict[str, str]]) -> None:
    assert daylight(airports["FAI"], LONGEST_DAY) == {
        "iata": "FAI",
        "name": "Fairbanks International Airport",
        "place": "Fairbanks, Alaska, US",
        "date": "2026-06-21",
        "timezone": "America/Anchorage",
        "sun": "RisesAndSets",
        "sunrise": "2026-06-21T02:59-08:00",
        "solarNoon": "2026-06-21T13:53-08:00",
        "sunset": "2026-06-22T00:48-08:00",
        "dayLength": "21:49",
    }


def test_the_date_is_the_local_one_on_both_sides_of_the_date_line(
    daylight: Any, airports: dict[str, dict[str, str]]
) -> None:
    for code in (
        "APW",
        "PPG",
    ):  # Samoa and American Samoa: 24 hours apart on the clock, neighbours under the sun
        assert daylight(airports[code], LONGEST_DAY)["sunrise"].startswith("2026-06-21T06:")


def test_day_length_is_the_time_between_the_two(daylight: Any, airports: dict[str, dict[str, str]]) -> None:
    for day in (LONGEST_DAY, date(2026, 3, 29), date(2026, 12, 21)):
        result = daylight(airports["LHR"], day)
        sunrise, sunset = (datetime.fromisoformat(result[field]) for field in ("sunrise", "sunset"))
        hours, minutes = map(int, result["dayLength"].split(":"))
        assert sunset - sunrise == timedelta(hours=hours, minutes=minutes)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("timezone", "", "the airport has no time zone"),
        (
            "timezone",
            "Mars/Olympus",
            "the time zone Mars/Olympus is retired or unknown: the tz database lists it for no country",
        ),
        ("latitude", "north", "the latitude 'north' is not a number"),
        ("latitude", "91.5", "the latitude 91.5 is not between -90 and 90 degrees"),
        ("longitude", "nan", "the longitude nan is not between -180 and 180 degrees"),
    ],
)
def test_a_bad_record_is_refused_with_its_field(
    daylight: Any, airports: dict[str, dict[str, str]], field: str, value: str, reason: str
) -> None:
    with pytest.raises(Fail) as caught:
        daylight(airports["LHR"] | {field: value}, LONGEST_DAY)
    assert str(caught.value) == reason


async def test_the_handler_answers_for_today_or_the_date_that_is_set(
    example: Callable[[str, str], ModuleType],
    airports: dict[str, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = example("daylight", "daylight")
    monkeypatch.setattr(module, "LATENCY_SECONDS", 0.0)
    before = datetime.now(UTC).date().isoformat()
    assert before <= (await module.times(airports["LHR"]))["date"] <= datetime.now(UTC).date().isoformat()
    monkeypatch.setattr(module, "DATE", LONGEST_DAY)
    assert (await module.times(airports["LHR"]))["date"] == "2026-06-21"
