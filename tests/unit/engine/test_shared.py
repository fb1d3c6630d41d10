"""One pass over all streams serves every run that asks at about the same time, and never an older one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping

import pytest

from jobrun_operator.engine.ports import Depth, RunRef, SourceSummary
from jobrun_operator.engine.shared import SharedObserver
from jobrun_operator.errors import BrokerUnavailable
from support.memory_broker import MemoryBroker


class Counted(MemoryBroker):
    """Counts the passes; ``away`` makes them fail."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0
        self.away = False
        self.hidden: set[str] = set()

    async def depths(self) -> Mapping[str, Depth]:
        self.passes += 1
        if self.away:
            raise BrokerUnavailable("away")
        return {uid: depth for uid, depth in (await super().depths()).items() if uid not in self.hidden}


async def made(*uids: str) -> tuple[Counted, SharedObserver]:
    broker = Counted()
    for uid in uids:
        await broker.provision(RunRef("default", uid, uid), SourceSummary(9, "sha256:0"))
    return broker, SharedObserver(broker)


async def test_many_that_ask_share_a_pass() -> None:
    broker, shared = await made("a", "b", "c")
    found = await asyncio.gather(*(shared.depth(uid) for uid in "abc"))
    assert all(found)
    assert broker.passes == 1


async def test_an_answer_is_never_older_than_its_question() -> None:
    broker, shared = await made("a")
    await shared.depth("a")
    await broker.release("a", 0, [b"1", b"2"])
    depth = await shared.depth("a")
    assert depth is not None
    assert depth.last_seq == 2
    assert broker.passes == 2


async def test_what_a_pass_leaves_out_is_looked_at_by_itself() -> None:
    broker, shared = await made("a")
    broker.hidden.add("a")
    assert await shared.depth("a") is not None
    assert await shared.depth("nobody") is None


async def test_a_pass_that_fails_does_so_for_all_who_wait_and_the_next_goes_on() -> None:
    broker, shared = await made("a", "b")
    broker.away = True
    found = await asyncio.gather(shared.depth("a"), shared.depth("b"), return_exceptions=True)
    assert [type(one) for one in found] == [BrokerUnavailable, BrokerUnavailable]
    broker.away = False
    assert await shared.depth("a") is not None


async def test_a_failure_that_nobody_waits_for_any_more_is_nobodys_trouble(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, shared = await made("a")
    broker.away = True
    asking = asyncio.create_task(shared.depth("a"))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait({asking})
    await asyncio.sleep(1)
    gc.collect()
    assert broker.passes == 1
    assert not caplog.records
