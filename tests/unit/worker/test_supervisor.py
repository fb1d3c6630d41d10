"""What a worker of several processes says of them, and when another takes the place of one that ended."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from jobrun_worker.ends import backoff, describe_exit, exit_status
from jobrun_worker.metrics import FAILED, SUCCEEDED, WorkerMetrics
from jobrun_worker.supervisor import Seen, alive, ready
from jobrun_worker.vitals import Totals, Vitals, families

WELL = Seen("w-1", age=500.0, silent=0.4, vitals=Vitals(), first=False)
AWAY = replace(WELL, name="w-2", vitals=Vitals(unready="there is no connection"))
WEDGED = replace(WELL, name="w-2", silent=10.1)
COMING_UP = Seen("w-2", age=119.0, silent=500.0, vitals=None, first=True)


@pytest.mark.parametrize(
    ("processes", "why"),
    [
        ([WELL, AWAY], ""),
        ([], ""),
        ([WELL, COMING_UP], "w-2 has not come up for 119 s"),
        ([WELL, replace(COMING_UP, first=False)], ""),
        ([WELL, replace(COMING_UP, first=False, age=121.0)], "w-2 has not come up for 121 s"),
        ([WELL, WEDGED], "w-2 has told nothing for 10 s"),
        ([replace(WELL, vitals=Vitals(trouble="wedged"))], "w-1: wedged"),
    ],
)
def test_a_worker_is_alive_while_all_its_processes_are(processes: list[Seen], why: str) -> None:
    assert alive(processes) == why


@pytest.mark.parametrize(
    ("processes", "why"),
    [
        ([AWAY, WELL], ""),
        ([AWAY], "w-2: there is no connection"),
        ([WEDGED, COMING_UP], "no process has come up"),
        ([], "no process has come up"),
    ],
)
def test_a_worker_is_ready_while_one_of_its_processes_is(processes: list[Seen], why: str) -> None:
    assert ready(processes) == why


def process(succeeded: int, failed: int, running: int) -> Vitals:
    metrics = WorkerMetrics()
    for _ in range(succeeded):
        metrics.attempt(SUCCEEDED, 0.02)
    for _ in range(failed):
        metrics.attempt(FAILED, 2.0)
    metrics.handed_back.inc(3)
    metrics.running.set(running)
    return Vitals(True, "a", "b", "c", families(metrics.registry))


def page(totals: Totals) -> list[str]:
    registry = CollectorRegistry()
    registry.register(totals)
    return generate_latest(registry).decode().splitlines()


def test_what_a_process_tells_survives_the_socket() -> None:
    vitals = process(1, 2, 3)
    line = vitals.encode()
    assert line.count(b"\n") == 1
    assert Vitals.decode(line) == vitals


@pytest.mark.parametrize(
    "garbage", ["", "{}", "3", '["", "", ""]', '[true, "", "", "", [[]]]', "[1, 2, 3, 4, 5]"]
)
def test_what_no_process_tells_is_refused(garbage: str) -> None:
    with pytest.raises(ValueError, match=r"values to unpack|not what a process tells|Expecting value"):
        Vitals.decode(garbage.encode())


def test_metrics_of_processes_add_up_and_what_was_counted_stays_when_one_ends() -> None:
    totals = Totals()
    totals.add(process(succeeded=2, failed=0, running=4).families)
    totals.add(process(succeeded=1, failed=5, running=1).families)
    totals.add_ended(process(succeeded=10, failed=0, running=7).families)
    lines = page(totals)
    assert 'jobrun_task_attempts_total{outcome="succeeded"} 13.0' in lines
    assert 'jobrun_task_attempts_total{outcome="failed"} 5.0' in lines
    assert 'jobrun_task_seconds_bucket{le="0.025",outcome="succeeded"} 13.0' in lines
    assert 'jobrun_task_seconds_count{outcome="failed"} 5.0' in lines
    assert "jobrun_worker_handed_back_total 9.0" in lines
    assert "jobrun_worker_running 5.0" in lines, "an ended process runs nothing"


def test_the_sums_read_as_the_page_of_one_process_does() -> None:
    metrics = WorkerMetrics()
    metrics.attempt(SUCCEEDED, 0.3)
    totals = Totals()
    totals.add(families(metrics.registry))
    alone = generate_latest(metrics.registry).decode().splitlines()
    assert page(totals) == [line for line in alone if "_created" not in line]


def test_replacements_wait_longer_where_processes_keep_ending_quickly() -> None:
    assert [backoff(ends) for ends in range(8)] == [0.0, 0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0]


def test_exits_in_words_and_as_a_status() -> None:
    assert [describe_exit(code) for code in (0, 3, -9, -250)] == [
        "exit code 0",
        "exit code 3",
        "SIGKILL",
        "signal 250",
    ]
    assert [exit_status(code) for code in (0, 3, -9)] == [0, 3, 137]
