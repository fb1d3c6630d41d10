"""``make bench`` gives rows of the right shape; how fast anything is, is not tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import bench
from benchmarks.contender import Sizes
from benchmarks.measures import MEASURES
from benchmarks.report import table

TRIALS = ("release", "work", "work-results")


async def test_one_small_round_gives_a_row_for_each_measure_and_contender(tmp_path: Path) -> None:
    result = await bench(["jobrun", "nats-py"], TRIALS, 1, Sizes(release=2000, work=1500), tmp_path)

    assert not result["skipped"]
    assert {"load_before", "load"} <= set(result["machine"])
    assert set(result) == {"machine", "versions", "rows", "skipped"}
    rows = {(row["measure"], row["contender"]): row for row in result["rows"]}
    assert {(measure, name) for measure in TRIALS for name in ("jobrun", "nats-py")} <= set(rows)
    for (measure, _), row in rows.items():
        assert set(row) == {"measure", "contender", "unit", "median", "min", "max", "rounds"}
        assert row["unit"] == MEASURES[measure].unit
        assert 0 < row["min"] <= row["median"] <= row["max"]
        assert row["rounds"] == 1


@pytest.mark.parametrize(("load", "warns"), [(0.9, False), (1.1, True)])
async def test_a_machine_that_does_something_else_is_warned_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    load: float,
    warns: bool,
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))

    result = await bench([], [], 1, Sizes(release=1, work=1), tmp_path)

    assert ("warning: the load is 1.1" in capsys.readouterr().err) is warns
    assert result["machine"]["load_before"] == load


async def test_a_worker_of_several_processes_is_measured(tmp_path: Path) -> None:
    result = await bench(["jobrun", "nats-py"], ["work-processes"], 1, Sizes(release=1, work=1500), tmp_path)

    assert not result["skipped"]
    assert {row["measure"] for row in result["rows"]} == {"work-processes", "work-processes-cpu"}
    assert {row["contender"] for row in result["rows"]} == {"jobrun"}


async def test_a_contender_without_its_tools_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    result = await bench(["c-client"], ["release"], 1, Sizes(release=1, work=1), tmp_path)

    assert "gcc" in result["skipped"]["c-client"]
    assert not result["rows"]


def test_the_table_relates_kept_results_to_the_c_clients_pulling() -> None:
    def row(measure: str, contender: str, median: float) -> dict[str, object]:
        return {
            "measure": measure,
            "contender": contender,
            "unit": "tasks/s",
            "median": median,
            "min": 1,
            "max": 2,
        }

    lines = list(table([row("work", "c-client", 1000.0), row("work-results", "jobrun", 250.0)]))

    assert lines[2].split()[:2] == ["work-results", "jobrun"]
    assert lines[2].endswith("0.25")
