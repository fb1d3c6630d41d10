"""Making and ending the streams of a run, and whose they are."""

from __future__ import annotations

import dataclasses

import pytest

from jobrun_operator.engine.ports import Depth, Ends, SourceSummary
from jobrun_operator.errors import JobRunError
from support.broker_bench import RUN, SOURCE, UID, Bench, outcome, payloads


async def test_a_run_that_was_never_made_is_not_there(bench: Bench) -> None:
    assert await bench.observer.depth(UID) is None
    assert await bench.observer.flow(UID) is None


async def test_the_stream_remembers_what_it_was_made_for(bench: Bench) -> None:
    await bench.streams.provision(RUN, SOURCE, keeps_results=True)
    assert await bench.observer.depth(UID) == Depth(0, 0, SOURCE, keeps_results=True)


async def test_provisioning_again_changes_nothing(bench: Bench) -> None:
    await bench.streams.provision(RUN, SOURCE)
    await bench.publisher.release(UID, 0, payloads(3))
    (task,) = await bench.take(UID, 1)
    await bench.store_outcome(UID, outcome(0))
    await bench.streams.provision(RUN, SOURCE)
    await bench.streams.provision(RUN, SourceSummary(7, "sha256:other"), keeps_results=True)
    assert await bench.observer.depth(UID) == Depth(3, 3, SOURCE)
    flow = await bench.observer.flow(UID)
    assert flow is not None
    assert (flow.waiting, flow.held) == (2, 1)
    assert await bench.observer.ends(UID) == Ends(1, 0)
    await bench.ack(task)


async def test_provisioning_again_never_ends_a_pause(bench: Bench) -> None:
    await bench.streams.provision(RUN, SOURCE)
    await bench.streams.pause(UID, paused=True)
    await bench.streams.provision(RUN, SOURCE)
    flow = await bench.observer.flow(UID)
    assert flow is not None
    assert flow.paused


async def test_provisioning_makes_what_is_missing(bench: Bench) -> None:
    await bench.streams.provision(RUN, SOURCE)
    await bench.lose_consumer(UID)
    await bench.lose_counters(UID)
    await bench.streams.provision(RUN, SOURCE)
    assert await bench.observer.flow(UID) is not None
    assert await bench.observer.ends(UID) == Ends(0, 0)


async def test_deleting_frees_all_and_may_be_repeated(bench: Bench) -> None:
    await bench.streams.provision(RUN, SOURCE)
    await bench.publisher.release(UID, 0, payloads(3))
    await bench.store_outcome(UID, outcome(0))
    await bench.streams.delete(UID)
    await bench.streams.delete(UID)
    assert await bench.observer.depth(UID) is None
    await bench.streams.provision(RUN, SOURCE)
    assert await bench.observer.ends(UID) == Ends(0, 0)


async def test_a_stream_that_is_half_gone_is_deleted_too(bench: Bench) -> None:
    await bench.streams.provision(RUN, SOURCE)
    await bench.lose_work(UID)
    assert await bench.observer.depth(UID) is None
    await bench.streams.delete(UID)


async def test_a_run_of_another_installation_is_never_touched(bench: Bench) -> None:
    await bench.streams.provision(RUN, SOURCE)
    other = bench.sharing("there")
    with pytest.raises(JobRunError, match="belongs to another installation"):
        await other.streams.provision(RUN, SOURCE)
    with pytest.raises(JobRunError, match="belongs to another installation"):
        await other.streams.delete(UID)
    assert await bench.observer.depth(UID) == Depth(0, 0, SOURCE)


async def test_runs_do_not_mix(bench: Bench) -> None:
    await bench.streams.provision(RUN, SOURCE)
    await bench.streams.provision(dataclasses.replace(RUN, uid="0002"), SOURCE)
    await bench.publisher.release(UID, 0, payloads(3))
    await bench.publisher.release("0002", 0, payloads(1))
    await bench.store_outcome("0002", outcome(0))
    assert await bench.observer.depth(UID) == Depth(3, 3, SOURCE)
    assert await bench.observer.depth("0002") == Depth(1, 1, SOURCE)
    assert await bench.observer.ends(UID) == Ends(0, 0)
    assert [task.uid for task in await bench.take("0002", 9)] == ["0002"]
