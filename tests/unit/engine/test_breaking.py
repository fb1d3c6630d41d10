"""A run whose attempts fail is held by its circuit breaker, and says so."""

from __future__ import annotations

from jobrun_operator.api import LimitedBy, Phase
from jobrun_operator.errors import BrokerUnavailable
from jobrun_worker.wire import Pulse
from support.engine_rig import UID, EngineRig, rig
from support.release_rig import now
from support.virtual_time import until

FAILING = Pulse(0, 10, 10, "ConnectionError: refused")


async def running(r: EngineRig) -> None:
    await until(lambda: len(r.broker.stored) >= 20)


async def test_it_holds_the_run_and_says_why() -> None:
    r = rig(400)
    async with r.drive():
        await running(r)
        r.pulses.tell(UID, FAILING)
        assert not r.holds.raised
        r.pulses.tell(UID, FAILING)
        await until(lambda: r.run.status.is_true("Held"), seconds=3)
        ((uid, seconds, wish),) = r.holds.raised
        assert (uid, seconds, wish.why, wish.open_seconds) == (UID, 30.0, "CircuitBreaker", 30.0)
        held, released = r.condition("Held"), len(r.broker.stored)
        assert held.reason == "CircuitBreaker"
        assert "20 attempts in a row failed; the last error: ConnectionError: refused" in held.message
        assert (r.phase, r.run.status.limited_by) == (Phase.RUNNING, LimitedBy.HELD)
        begun = now()
        await until(lambda: now() > begun + 20)
        assert len(r.broker.stored) <= released + 1
        await r.ends()
    assert r.audit.types == ["Started", "CircuitBreaker", "HoldEnded", "Completed"]


async def test_without_one_nothing_is_held() -> None:
    r = rig(100, circuitBreaker={"enabled": False})
    async with r.drive():
        await running(r)
        for _ in range(50):
            r.pulses.tell(UID, FAILING)
        await r.ends()
    assert not r.holds.raised


async def test_its_settings_are_those_of_the_run_as_it_is() -> None:
    r = rig(400, circuitBreaker={"consecutiveFailures": 1000, "minimumAttempts": 1000})
    async with r.drive():
        await running(r)
        r.pulses.tell(UID, FAILING)
        assert not r.holds.raised
        r.edit(circuitBreaker={"consecutiveFailures": 11, "openSeconds": 7})
        r.pulses.tell(UID, FAILING)
        await until(lambda: bool(r.holds.raised), seconds=1)
        assert r.holds.raised[0][1] == 7.0
        await r.ends()


async def test_it_is_raised_once_and_counts_anew_after_it() -> None:
    r = rig(400)
    async with r.drive():
        await running(r)
        for _ in range(5):
            r.pulses.tell(UID, FAILING)
        await until(lambda: bool(r.holds.raised), seconds=1)
        r.pulses.tell(UID, FAILING)  # of what had begun before
        await r.ends()
    assert len(r.holds.raised) == 1


async def test_a_broker_that_is_away_is_asked_again() -> None:
    r = rig(400)
    r.holds.fault = BrokerUnavailable("away")
    async with r.drive():
        await running(r)
        r.pulses.tell(UID, Pulse(0, 20, 20))
        begun = now()
        await until(lambda: now() > begun + 3)
        assert not r.holds.raised
        r.holds.fault = None
        await until(lambda: bool(r.holds.raised), seconds=2)
        await r.ends()


async def test_at_the_end_of_a_run_tasks_that_failed_before_do_not_trip_it() -> None:
    r = rig(40, rate=None, retry={"maxAttempts": 3})
    r.labour.fails = lambda index, attempt: index < 10
    r.labour.retry_seconds = 20.0
    async with r.drive():
        await until(lambda: len(r.labour.calls) == 40)
        begun = now()
        await until(lambda: now() > begun + 3)
        for _ in range(5):
            r.pulses.tell(UID, FAILING)
        await r.ends()
    assert not r.holds.raised
    assert r.run.status.tasks is not None
    assert r.run.status.tasks.failed == 10
