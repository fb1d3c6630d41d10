"""Every bound of what must hold, in full size: the names that ``make accept`` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from accept import (
    broker_gone,
    contracts,
    editing,
    failing,
    faulty,
    first_worker,
    handlers,
    killing,
    many_runs,
    memory,
    outage,
    paced,
    pacing,
    refusing,
    resuming,
    sources,
    workers,
)
from accept.bound import Bound

Scenario = Callable[[Path], Iterator[Bound]]

SCENARIOS: Mapping[str, Scenario] = {
    "rate-per-second": partial(pacing.steady, count=20_000, tasks=2_000, period=1, burst=200),
    "rate-per-minute": partial(pacing.steady, count=100_000, tasks=100_000, period=60, burst=200),
    "paced-50000": partial(paced.released, count=1_000_000, rate=50_000, burst=5_000),
    "no-rate": partial(pacing.unpaced, count=100_000),
    "workers-frozen": partial(outage.away, frozen=True, rate=100, seconds=60, before=500, after=20),
    "workers-gone": partial(outage.away, frozen=False, rate=100, seconds=60, before=500, after=20),
    "retries-keep-the-rate": partial(failing.retries_keep_the_rate, count=8_000, rate=200),
    "each-seventh-fails": partial(failing.each_seventh, count=1_000),
    "failure-policy": partial(failing.failure_policy, count=700),
    "killed-ten-times": partial(killing.killed_again_and_again, count=20_000, rate=600, kills=10, latest=5.0),
    "broker-killed": partial(killing.broker_killed, count=6_000, rate=500),
    "broker-gone-ten-minutes": partial(broker_gone.in_virtual_time, seconds=600, count=6_000, rate=20),
    "broker-gone-a-minute": partial(broker_gone.for_real, seconds=60, rate=100, unreachable=False),
    "broker-unreachable-a-minute": partial(broker_gone.for_real, seconds=60, rate=100, unreachable=True),
    "power-cuts": partial(faulty.power_cuts, tasks=1_000, rate=200),
    "fault-schedules": partial(faulty.schedules, seeds=range(1, 4)),
    "worker-killed": partial(workers.killed_in_mid_task, count=400, seconds=0.5),
    "poisonous-task": partial(workers.poisonous_task, count=500, index=40, attempts=3),
    "ten-drains": partial(workers.drained, count=1_000, drains=10, seconds=0.5),
    "drained-in-flight": partial(workers.drained_in_flight, tasks=16, seconds=2.0),
    "rolling-update": partial(workers.rolling_update, count=15_000, rate=1_000, updates=3),
    "suspend-by-edit": partial(editing.suspended_and_resumed, count=6_000, rate=500, seconds=3.0),
    "rate-by-edit": partial(editing.other_rates, count=6_000, slow=300, fast=900),
    "python-handlers": partial(handlers.python_handlers, count=1_000),
    "first-worker": partial(first_worker.asked_for, runs=20),
    "several-processes": partial(handlers.several_processes, count=200),
    "command-handler": partial(handlers.command_handler, count=200),
    "http-handler": partial(handlers.http_handler, count=1_000),
    "interrupted": partial(resuming.interrupted, count=2_000, rate=200),
    "interrupted-at-start": resuming.interrupted_at_start,
    "finished-again": partial(resuming.finished, count=700),
    "ten-million-lines": partial(sources.many_lines, count=10_000_000, mebibytes=64),
    "flat-memory": partial(memory.flat, count=2_000_000),
    "thousand-runs": partial(many_runs.thousand, sizes=(10, 100, 1_000), rate=60),
    "ten-million-tasks": partial(memory.flat, count=10_000_000),
    "wrong-input": refusing.all_refused,
    "contracts": contracts.kept,
}
