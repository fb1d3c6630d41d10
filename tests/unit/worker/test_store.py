"""Attempt records against a broker that conflicts, and loses answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from jobrun_worker import retrying
from jobrun_worker.broker import Broker, Stored
from jobrun_worker.errors import BrokerUnavailable, WrongLastSequence
from jobrun_worker.held import Held
from jobrun_worker.store import Store
from jobrun_worker.wire import AttemptRecord, Delivery, Names


class FakeBroker:
    """One subject with compare-and-set; ``losing`` says which stores get no answer, and whether they arrived."""

    def __init__(self) -> None:
        self.message: Stored | None = None
        self.losing: list[bool] = []
        self.stores = 0
        self.before_store: Callable[[], None] = lambda: None

    async def store(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        self.before_store()
        self.stores += 1
        lost = bool(self.losing)
        arrived = self.losing.pop(0) if lost else True
        last = self.message.sequence if self.message else 0
        if arrived:
            if int(headers["Nats-Expected-Last-Subject-Sequence"]) != last:
                if lost:
                    raise BrokerUnavailable("no answer")
                raise WrongLastSequence
            self.message = Stored(last + 1, headers, body)
        if lost:
            raise BrokerUnavailable("no answer")
        assert self.message is not None
        return self.message.sequence

    async def last(self, stream: str, subject: str) -> Stored | None:
        return self.message

    @property
    def record(self) -> AttemptRecord:
        assert self.message is not None
        return AttemptRecord.decode(self.message.body)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    monkeypatch.setattr(retrying, "FIRST_WAIT", 0.0)
    return FakeBroker()


def store_on(broker: FakeBroker) -> Store:
    return Store(cast(Broker, broker), Names(), "uid")


def held(delivered: int = 1) -> Held:
    return Held.of(Delivery(7, delivered, 0), b"reply", b"")


def fail(record: AttemptRecord) -> AttemptRecord | None:
    return replace(record, failures=record.failures + 1, error="e")


async def test_a_first_record(broker: FakeBroker) -> None:
    one = held()
    assert await store_on(broker).write_record(one, fail)
    assert broker.record == one.record == AttemptRecord(1, 0, "e")
    assert one.record_sequence == 1


async def test_what_another_worker_stored_meanwhile_is_kept(broker: FakeBroker) -> None:
    broker.message = Stored(5, {"Jobrun-Writes": "other"}, AttemptRecord(2, 3, "x").encode())
    assert await store_on(broker).write_record(held(), fail)
    assert broker.record == AttemptRecord(3, 3, "e")


@pytest.mark.parametrize("losing", [[True], [False], [True, True], [False, True, False, True]])
async def test_a_store_whose_answer_was_lost_is_booked_once(broker: FakeBroker, losing: list[bool]) -> None:
    broker.losing = losing
    assert await store_on(broker).write_record(held(), fail)
    assert broker.record == AttemptRecord(1, 0, "e")


async def test_a_store_whose_answer_was_lost_is_booked_once_also_where_another_worker_wrote_since(
    broker: FakeBroker,
) -> None:
    """The broker was killed and delivered the task to a second worker, whose attempt failed as well."""
    broker.losing = [True]

    async def second_worker() -> None:
        await store_on(broker).write_record(held(), fail)

    def meanwhile() -> None:
        if broker.stores == 1:
            broker.before_store = lambda: None
            second = second_worker()
            with contextlib.suppress(StopIteration):
                second.send(None)

    broker.before_store = meanwhile
    assert await store_on(broker).write_record(held(), fail)
    assert broker.record == AttemptRecord(2, 0, "e")


async def test_copies_that_came_meanwhile_are_no_lost_deliveries(broker: FakeBroker) -> None:
    one = held(1)
    one.adopt(Delivery(7, 2, 0), b"newer")
    assert await store_on(broker).write_record(one, fail)
    assert broker.record == AttemptRecord(1, 1, "e")
    assert broker.record.lost(3) == 0


async def test_copies_are_booked_once_over_several_writes(broker: FakeBroker) -> None:
    one = held(1)
    one.adopt(Delivery(7, 3, 0), b"newer")
    store = store_on(broker)
    assert await store.write_record(one, lambda record: replace(record, returns=record.returns + 1))
    assert broker.record.returns == 3
    assert await store.write_record(one, lambda record: replace(record, returns=record.returns - 1))
    assert await store.write_record(one, fail)
    assert broker.record == AttemptRecord(1, 2, "e")
    assert broker.record.lost(4) == 0


@pytest.mark.parametrize("losing", [[True], [False], [True, True, False]])
async def test_copies_that_come_while_the_broker_is_away_are_booked_too(
    broker: FakeBroker, losing: list[bool]
) -> None:
    one = held(1)
    broker.losing = losing

    def another_copy() -> None:
        if broker.stores < 4:
            one.adopt(Delivery(7, one.latest + 1, 0), b"newer")

    broker.before_store = another_copy
    assert await store_on(broker).write_record(one, fail)
    assert broker.record.failures == 1
    assert broker.record.lost(one.latest + 1) == 0
    assert one.reply == b"newer"


async def test_a_change_that_turns_out_to_be_none_stores_nothing(broker: FakeBroker) -> None:
    broker.message = Stored(5, {}, AttemptRecord(2, 0, "x").encode())
    seen: list[int] = []

    def change(record: AttemptRecord) -> AttemptRecord | None:
        seen.append(record.failures)
        return fail(record) if record.failures < 2 else None

    assert not await store_on(broker).write_record(held(), change)
    assert seen == [0, 2]
    assert broker.record == AttemptRecord(2, 0, "x")


async def test_a_record_that_is_none_is_replaced(
    broker: FakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.message = Stored(5, {}, b"not a record")
    assert await store_on(broker).write_record(held(), fail)
    assert broker.record == AttemptRecord(1, 0, "e")
    assert "taken for empty" in caplog.text
