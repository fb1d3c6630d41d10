"""What the engine relies on in any implementation of the port ``Workers``: in memory, and as processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from jobrun_operator.engine.ports import Workers
from jobrun_operator.local.keeper import Keeper, marked
from jobrun_operator.local.processes import ProcessWorkers
from local.processes.helpers import make_run, reach, until
from support.memory_workers import MemoryWorkers

Kill = Callable[[str], None]


@pytest.fixture(params=["memory", "processes"])
def port(request: pytest.FixtureRequest) -> tuple[Workers, Kill]:
    """An implementation, and how to kill one worker of a run."""
    if request.param == "memory":
        memory = MemoryWorkers(start_delay=0.01, drain_delay=0.01)
        return memory, memory.kill
    processes: ProcessWorkers = request.getfixturevalue("processes")
    keeper: Keeper = request.getfixturevalue("keeper")

    def kill(uid: str) -> None:
        os.kill(min(marked(keeper.marker_of(uid))), signal.SIGKILL)

    return processes, kill


@pytest.fixture
def workers(port: tuple[Workers, Kill]) -> Workers:
    return port[0]


async def test_a_run_that_never_had_workers_has_none(workers: Workers) -> None:
    state = await workers.observe("unknown")
    assert (state.desired, state.running, state.ready) == (0, 0, 0)
    await workers.remove("unknown")


async def test_scaling_up_is_asked_at_once_and_reached_later(workers: Workers) -> None:
    run = make_run()
    await workers.scale(run, 3)
    first = await workers.observe(run.uid)
    assert (first.desired, first.ready) == (3, 0)
    await reach(workers, run.uid, desired=3, running=3, ready=3)


async def test_surplus_workers_drain(workers: Workers) -> None:
    run = make_run()
    await workers.scale(run, 3)
    await reach(workers, run.uid, ready=3)
    await workers.scale(run, 1)
    state = await workers.observe(run.uid)
    assert (state.desired, state.ready) == (1, 1)
    await reach(workers, run.uid, running=1, ready=1)


async def test_to_zero_and_back(workers: Workers) -> None:
    run = make_run()
    for replicas in (2, 0, 1, 0):
        await workers.scale(run, replicas)
        await reach(workers, run.uid, desired=replicas, running=replicas, ready=replicas)


async def test_scaled_down_before_it_was_up(workers: Workers) -> None:
    run = make_run()
    await workers.scale(run, 3)
    await workers.scale(run, 0)
    await reach(workers, run.uid, desired=0, running=0, ready=0)


async def test_a_worker_that_was_killed_is_replaced(port: tuple[Workers, Kill]) -> None:
    workers, kill = port
    run = make_run()
    await workers.scale(run, 2)
    await reach(workers, run.uid, ready=2)
    kill(run.uid)
    await reach(workers, run.uid, ready=1)
    await reach(workers, run.uid, running=2, ready=2)


async def test_changed_workers_are_replaced_while_others_work_on(workers: Workers) -> None:
    await workers.scale(make_run(), 2)
    uid = make_run().uid
    await reach(workers, uid, ready=2)
    await workers.scale(make_run(concurrency=4), 2)
    at_work, most = [], 0

    async def replaced() -> bool:
        nonlocal most
        state = await workers.observe(uid)
        at_work.append(state.ready)
        replacing = most > 2  # begun, as a worker more than asked for shows
        most = max(most, state.running)
        return replacing and state.running == state.ready == 2

    await until(replaced)
    assert min(at_work) >= 2


async def test_runs_do_not_touch_each_other(workers: Workers) -> None:
    push, embed = make_run(name="push"), make_run(name="embed")
    await workers.scale(push, 1)
    await workers.scale(embed, 2)
    await reach(workers, embed.uid, ready=2)
    await reach(workers, push.uid, ready=1)
    await workers.remove(embed.uid)
    await reach(workers, embed.uid, desired=0, running=0)
    await reach(workers, push.uid, desired=1, running=1, ready=1)


async def test_a_removed_run_is_forgotten_and_can_come_back(workers: Workers) -> None:
    run = make_run()
    await workers.scale(run, 2)
    await reach(workers, run.uid, ready=2)
    await workers.remove(run.uid)
    await workers.remove(run.uid)
    await reach(workers, run.uid, desired=0, running=0, ready=0)
    await workers.scale(run, 1)
    await reach(workers, run.uid, desired=1, running=1, ready=1)
