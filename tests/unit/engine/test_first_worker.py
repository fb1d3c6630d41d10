"""A paced run waits a moment for its first worker: what workers call follows the rate from the first call on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from jobrun_operator.api import LimitedBy, Phase
from jobrun_operator.core.pacing import FIRST_WORKER_SECONDS
from jobrun_operator.errors import BrokerUnavailable
from support.engine_rig import UID, EngineRig, rig
from support.memory_workers import MemoryWorkers
from support.pace import most_in_a_window, worst_excess
from support.release_rig import now, releasing
from support.virtual_time import until


def _slow_to_start(seconds: float, **spec: object) -> EngineRig:
    made = rig(600, rate={"tasks": 20, "periodSeconds": 1, "burst": 20}, maxWaiting=200, **spec)
    made.workers = made.labour.workers = MemoryWorkers(clock=now, start_delay=seconds, drain_delay=0.5)
    return made


async def test_nothing_is_released_until_a_worker_asks_for_tasks() -> None:
    r = _slow_to_start(3.0)
    async with r.drive():
        await r.reaches(Phase.RUNNING)
        await until(lambda: now() > 2.5)
        assert r.broker.stored == []
        assert r.workers.asked == [(UID, 1)]
        await r.ends()
    first = r.broker.stored[0].at
    assert 3.0 <= first < 3.5
    assert worst_excess([stored.at for stored in r.broker.stored], 20.0, 20) < 1e-3


@pytest.mark.parametrize("seconds", [0.0, 3.0, 4.9, 5.1, 6.0, 8.0, 14.9, 60.0])
async def test_calls_follow_the_rate_however_long_the_first_worker_takes(seconds: float) -> None:
    r = _slow_to_start(seconds)
    async with r.drive():
        await r.ends()
    assert r.phase == Phase.COMPLETED
    waited = max(0.0, min(200.0, (seconds - FIRST_WORKER_SECONDS) * 20))
    calls = [at for at, _ in r.labour.calls]
    assert most_in_a_window(calls, 10.0) <= 200 + max(20.0, waited) + 2


async def test_a_worker_that_does_not_come_holds_no_run_for_longer() -> None:
    async with releasing(100, pulled=False) as rig_:
        rig_.ask(10.0, 10, max_waiting=20)
        await until(lambda: now() > 1)
        assert rig_.releaser.limited_by == LimitedBy.WAITING
        await until(lambda: rig_.releaser.released > 0)
        assert now() == pytest.approx(FIRST_WORKER_SECONDS + 0.2, abs=0.2)
        await until(lambda: now() > 60)
        assert rig_.releaser.released == 20
        back = now()
        taken = await rig_.broker.take(UID, 50)
        assert len(taken) == 20
        await until(lambda: rig_.releaser.released > 20)
        assert now() - back == pytest.approx(
            1.1, abs=0.3
        )  # 20 were called at once: ten of them are the burst
        assert not rig_.releaser.awaits_worker


@pytest.mark.parametrize("rate", [0.5, 2.0, 200.0])
async def test_a_worker_that_comes_when_patience_is_over_is_seen_as_soon(rate: float) -> None:
    """What is released until it is seen counts as waiting for it, and is charged once more."""
    burst = max(1, int(rate))
    async with releasing(1000, pulled=False) as rig_:
        rig_.ask(rate, burst, max_waiting=2 * burst)
        await until(lambda: rig_.releaser.released > 0)
        assert rig_.releaser.awaits_worker
        came, there = now(), rig_.releaser.released
        rig_.broker.pulled = True
        await until(lambda: not rig_.releaser.awaits_worker)
        assert now() - came <= 0.3
        assert rig_.releaser.released - there <= 0.3 * rate


async def test_looking_for_a_worker_does_not_end_a_trouble() -> None:
    """A broker at its limits is asked for a single task at a time; that it answers other questions changes nothing."""
    tried: list[int] = []

    async def refused(uid: str, after: int, payloads: Sequence[bytes]) -> int:
        tried.append(len(payloads))
        raise BrokerUnavailable("full")

    async with releasing(1000, pulled=False) as rig_:
        rig_.broker.release = refused  # type: ignore[method-assign]
        rig_.ask(200.0, 200, max_waiting=400)
        await until(lambda: len(tried) == 10)
    assert tried == [200] + [1] * 9


async def test_a_run_that_is_resumed_waits_as_one_that_begins() -> None:
    r = _slow_to_start(2.0)
    async with r.drive():
        await until(lambda: len(r.broker.stored) >= 100)
        r.edit(suspend=True)
        await r.reaches(Phase.SUSPENDED)
        await until(lambda: r.run.status.replicas == 0)
        stored, resumed = len(r.broker.stored), now()
        r.edit(suspend=False)
        await r.ends()
    assert r.broker.stored[stored].at >= resumed + 2.0
    calls = [at for at, _ in r.labour.calls]
    assert worst_excess(calls, 20.0, 20) < 3  # a worker takes its time to look


async def test_an_engine_that_starts_again_goes_on_with_the_workers_that_there_are() -> None:
    r = _slow_to_start(0.0)
    async with r.drive():
        await until(lambda: len(r.broker.stored) >= 100)
    again = now()
    stored = len(r.broker.stored)
    async with r.drive():
        await until(lambda: len(r.broker.stored) > stored)
        assert now() - again < 1.0
        await r.ends()


async def test_without_a_rate_there_is_nothing_to_wait_for() -> None:
    async with releasing(100, pulled=False) as rig_:
        rig_.ask()
        await until(lambda: rig_.is_all_released)
        assert now() < 0.1
