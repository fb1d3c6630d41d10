"""The port ``Holds``, held to one suite in memory and on the real broker; there also what is not ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from jobrun_operator.engine.ports import Holds, RunRef, SourceSummary
from jobrun_operator.jetstream import layout
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.holds import JetStreamHolds
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_worker import holding
from jobrun_worker.holding import HoldRecord, Wish
from jobrun_worker.wire import Names
from support.memory_holds import MemoryHolds
from support.nats_server import NatsServer


@dataclass
class Raised:
    holds: Holds
    hold: Callable[[str, float, str], Awaitable[None]]


@pytest.fixture(params=["memory", "jetstream"])
async def raised(request: pytest.FixtureRequest, js: JetStream) -> AsyncIterator[Raised]:
    if request.param == "memory":
        memory = MemoryHolds()

        async def hold_in_memory(uid: str, seconds: float, message: str) -> None:
            memory.raise_now(uid, seconds, message=message)

        yield Raised(memory, hold_in_memory)
        return
    bucket = layout.control_bucket(Names(), 1)
    await js.api(f"STREAM.CREATE.{bucket['name']}", bucket)
    holds = JetStreamHolds(js, Names())
    await holds.open()

    async def hold(uid: str, seconds: float, message: str) -> None:
        record = HoldRecord(time.time_ns() + round(seconds * 1e9), "Throttled", message)
        await js.publish(holding.subject(Names(), uid), record.encode())

    yield Raised(holds, hold)


async def _hold_and_hear(raised: Raised) -> None:
    """Hold run 0001, which was not held, and return when that was heard."""
    heard = asyncio.Event()
    raised.holds.listen("0001", heard.set)
    assert await raised.holds.read("0001") is None
    await raised.hold("0001", 30.0, "429")
    async with asyncio.timeout(10):
        await heard.wait()


async def test_who_was_woken_finds_the_hold_while_another_run_is_looking(raised: Raised) -> None:
    await _hold_and_hear(raised)
    other, mine = await asyncio.gather(raised.holds.read("0002"), raised.holds.read("0001"))
    assert (other, mine is not None) == (None, True)


async def test_a_hold_is_heard_and_read(raised: Raised) -> None:
    await _hold_and_hear(raised)
    hold = await raised.holds.read("0001")
    assert hold is not None
    assert 25 < hold.left <= 30
    assert (hold.why, hold.message) == ("Throttled", "429")
    again = await raised.holds.read("0001")
    assert again is not None
    assert again.id == hold.id


async def test_each_run_has_its_own(raised: Raised) -> None:
    heard: list[str] = []
    for uid in ("0001", "0002"):
        raised.holds.listen(uid, lambda uid=uid: heard.append(uid))
    raised.holds.forget("0002")
    await raised.hold("0002", 30.0, "second")
    await raised.hold("0001", 30.0, "first")
    async with asyncio.timeout(10):
        while not heard:  # noqa: ASYNC110  # another process's state: nothing signals it
            await asyncio.sleep(0.01)
    assert heard == ["0001"]
    found = [await raised.holds.read(uid) for uid in ("0001", "0002", "0003")]
    assert [hold.message if hold else None for hold in found] == ["first", "second", None]


async def test_one_that_is_over_is_none(raised: Raised) -> None:
    await raised.hold("0001", -1.0, "before")
    assert await raised.holds.read("0001") is None


async def test_what_asks_for_room_is_no_hold_and_nothing_to_be_warned_of(
    js: JetStream, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = layout.control_bucket(Names(), 1)
    await js.api(f"STREAM.CREATE.{bucket['name']}", bucket)
    settings = layout.LayoutSettings(installation="here")
    run = RunRef("shop", "backfill", "0001")
    await JetStreamWorkStreams(js, settings).provision(run, SourceSummary(1, "sha256:0"))
    assert await JetStreamObserver(js, settings).refusal("0001") == ""
    assert await JetStreamHolds(js, Names()).read("0001") is None
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


async def test_what_is_no_hold_holds_nobody(js: JetStream) -> None:
    bucket = layout.control_bucket(Names(), 1)
    await js.api(f"STREAM.CREATE.{bucket['name']}", bucket)
    holds = JetStreamHolds(js, Names())
    await js.publish(holding.subject(Names(), "0001"), b"nonsense")
    record = HoldRecord(time.time_ns() + 10**10, "Throttled")
    await js.publish(holding.subject(Names(), "0002"), record.encode())
    assert await holds.read("0001") is None
    assert await holds.read("0002") is not None


async def test_while_the_broker_is_away_what_was_seen_stands(js: JetStream, nats_server: NatsServer) -> None:
    bucket = layout.control_bucket(Names(), 1)
    await js.api(f"STREAM.CREATE.{bucket['name']}", bucket)
    holds = JetStreamHolds(js, Names())
    await js.publish(
        holding.subject(Names(), "0001"), HoldRecord(time.time_ns() + 10**11, "Throttled").encode()
    )
    assert await holds.read("0001") is not None
    holds._heard = True
    await nats_server.kill()
    assert await holds.read("0001") is not None


async def test_one_that_an_engine_raises_is_heard_and_never_lowered(raised: Raised) -> None:
    heard = asyncio.Event()
    raised.holds.listen("0001", heard.set)
    await raised.holds.hold("0001", 60.0, Wish("CircuitBreaker", "20 attempts in a row failed", 60.0))
    async with asyncio.timeout(10):
        await heard.wait()
    await raised.holds.hold("0001", 1.0, Wish("CircuitBreaker", "again", 1.0))
    hold = await raised.holds.read("0001")
    assert hold is not None
    assert 50 < hold.left <= 60
    assert (hold.why, hold.message) == ("CircuitBreaker", "20 attempts in a row failed")


async def test_two_engines_that_raise_at_once_come_to_the_longer_one(js: JetStream) -> None:
    bucket = layout.control_bucket(Names(), 1)
    await js.api(f"STREAM.CREATE.{bucket['name']}", bucket)
    engines = [JetStreamHolds(js, Names()) for _ in range(8)]
    wishes = [(10.0 * number, Wish("CircuitBreaker", str(number), 5.0)) for number in range(1, 9)]
    await asyncio.gather(*(one.hold("0001", *wish) for one, wish in zip(engines, wishes, strict=True)))
    hold = await engines[0].read("0001")
    assert hold is not None
    assert hold.message == "8"


async def test_a_record_that_can_not_be_read_is_raised_over(js: JetStream) -> None:
    bucket = layout.control_bucket(Names(), 1)
    await js.api(f"STREAM.CREATE.{bucket['name']}", bucket)
    await js.publish(holding.subject(Names(), "0001"), b"[]")
    holds = JetStreamHolds(js, Names())
    await holds.hold("0001", 30.0, Wish("CircuitBreaker", "x", 30.0))
    assert await holds.read("0001") is not None
