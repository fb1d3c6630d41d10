"""Before the first release: what a run was made for is found again, or the run is not released from."""

from __future__ import annotations

import pytest

from jobrun_operator.engine.ports import RunRef
from jobrun_operator.engine.prepare import Prepared, SourceChanged, prepare
from jobrun_operator.errors import Gone, SourceError, SourceUnavailable
from support.listed_source import ListedSource
from support.memory_broker import MemoryBroker

RUN = RunRef("shop", "backfill", "0001")


async def prepared(broker: MemoryBroker, source: ListedSource, *, begun: bool = False) -> Prepared:
    return await prepare(RUN, source, broker, broker, begun=begun, keeps_results=True)


async def test_a_new_run_is_read_once_and_made() -> None:
    broker, source = MemoryBroker(), ListedSource(5)
    ready = await prepared(broker, source)
    assert (ready.summary.count, ready.depth.last_seq, ready.flow.waiting) == (5, 0, 0)
    assert ready.depth.source == ready.summary
    assert ready.depth.keeps_results
    assert source.scans == 1


async def test_a_run_that_has_begun_is_never_made_again() -> None:
    broker, source = MemoryBroker(), ListedSource(5)
    with pytest.raises(Gone):
        await prepared(broker, source, begun=True)
    assert broker.calls == []


@pytest.mark.parametrize("error", [SourceError("line 3", "not JSON"), SourceUnavailable("not there")])
async def test_nothing_is_made_for_a_source_that_can_not_be_read(error: SourceError) -> None:
    broker, source = MemoryBroker(), ListedSource(5)
    source.fault = error
    with pytest.raises(type(error)):
        await prepared(broker, source)
    assert broker.calls == []


async def test_another_source_is_refused_and_the_same_is_not() -> None:
    broker = MemoryBroker()
    await prepared(broker, ListedSource(5))
    await prepared(broker, ListedSource(5), begun=True)
    for other in (ListedSource(6), ListedSource(4)):
        with pytest.raises(SourceChanged, match="start a new run"):
            await prepared(broker, other, begun=True)


async def test_a_source_that_has_become_bad_has_changed() -> None:
    broker, source = MemoryBroker(), ListedSource(5)
    await prepared(broker, source)
    source.fault = SourceError("line 3", "not JSON")
    with pytest.raises(SourceChanged, match="line 3: not JSON"):
        await prepared(broker, source, begun=True)


async def test_what_is_all_released_is_not_read_again() -> None:
    broker, source = MemoryBroker(), ListedSource(2)
    await prepared(broker, source)
    await broker.release("0001", 0, [b"a", b"b"])
    source.fault = SourceUnavailable("deleted")
    assert (await prepared(broker, source, begun=True)).depth.last_seq == 2
