"""A run that is held releases nothing, keeps its workers, says so, and goes on from an empty bucket when it is over."""

from __future__ import annotations

from jobrun_operator.api import LimitedBy, Phase
from support.engine_rig import UID, rig
from support.pace import most_in_a_window
from support.release_rig import now
from support.virtual_time import until


async def test_held_and_free_again() -> None:
    r = rig(400)
    async with r.drive():
        await until(lambda: now() > 10)
        asked = list(r.workers.asked)
        at, released = now(), len(r.broker.stored)
        r.holds.raise_now(UID, 20.0, message="429 from the partner")
        await until(lambda: now() > at + 5)
        assert len(r.broker.stored) - released <= 10, "within a second nothing is released any more"
        released = len(r.broker.stored)
        held = r.condition("Held")
        assert held.is_true
        assert held.reason == "Throttled"
        assert "429 from the partner" in held.message
        assert r.condition("Ready").is_true, "held is not broken"
        assert r.run.status.limited_by == LimitedBy.HELD
        assert r.run.status.summary is not None
        assert r.run.status.summary.eta is None
        await until(lambda: now() > at + 19.9)
        assert len(r.broker.stored) == released
        assert r.workers.asked == asked, "workers stay"
        await until(lambda: len(r.broker.stored) > released)
        assert at + 20.0 <= now() < at + 21.5
        await until(lambda: not r.condition("Held").is_true)
        await r.ends()
    assert r.phase == Phase.COMPLETED
    assert r.audit.types == r.events.reasons == ["Started", "Throttled", "HoldEnded", "Completed"]
    times = [stored.at for stored in r.broker.stored]
    assert most_in_a_window(times, 1.0) <= 20


async def test_a_hold_that_is_raised_again_is_told_once() -> None:
    r = rig(400)
    async with r.drive():
        await until(lambda: now() > 5)
        for _ in range(10):
            r.holds.raise_now(UID, 3.0)
            at = now()
            await until(lambda at=at: now() > at + 1.5)
        await r.ends()
    assert r.audit.types == ["Started", "Throttled", "HoldEnded", "Completed"]


async def test_an_engine_that_starts_in_a_hold_tells_it_once() -> None:
    r = rig(400)
    async with r.drive():
        await until(lambda: now() > 5)
        r.holds.raise_now(UID, 30.0)
        await until(lambda: r.run.status.is_true("Held"))
    released = len(r.broker.stored)
    async with r.drive():
        await until(lambda: now() > 30)
        assert len(r.broker.stored) == released
        await r.ends()
    assert r.audit.types == ["Started", "Throttled", "HoldEnded", "Completed"]


async def test_a_suspension_in_a_hold_is_a_suspension() -> None:
    r = rig(400)
    async with r.drive():
        await until(lambda: now() > 5)
        r.holds.raise_now(UID, 30.0)
        await until(lambda: r.run.status.is_true("Held"))
        r.edit(suspend=True)
        await r.reaches(Phase.SUSPENDED)
        await until(lambda: not r.run.status.is_true("Held"))
        assert r.run.status.limited_by == LimitedBy.SUSPENDED
        r.edit(suspend=False)
        await until(lambda: r.run.status.is_true("Held"))
        await r.ends()
    assert r.phase == Phase.COMPLETED
