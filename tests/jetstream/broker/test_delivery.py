"""What the workers' consumer shows, and what a pause does to it."""

from __future__ import annotations

import dataclasses

import pytest

from jobrun_operator.engine.ports import Depth, Flow
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from support.broker_bench import RUN, SOURCE, UID, Bench, payloads
from support.jetstream_bench import JetStreamBench


@pytest.fixture(autouse=True)
async def _run(bench: Bench) -> None:
    await bench.streams.provision(RUN, SOURCE)


async def _seen(bench: Bench) -> tuple[Depth, Flow]:
    depth, flow = await bench.observer.depth(UID), await bench.observer.flow(UID)
    assert depth is not None
    assert flow is not None
    return depth, flow


async def test_a_new_run_is_empty(bench: Bench) -> None:
    assert await _seen(bench) == (Depth(0, 0, SOURCE), Flow(0, 0, 0, 0))


async def test_a_task_goes_from_waiting_to_held_to_gone(bench: Bench) -> None:
    await bench.publisher.release(UID, 0, payloads(10))
    assert await _seen(bench) == (Depth(10, 10, SOURCE), Flow(10, 0, 0, 0))
    taken = await bench.take(UID, 4)
    assert [(task.index, task.body, task.delivered) for task in taken] == [
        (index, b"task %d" % index, 1) for index in range(4)
    ]
    assert await _seen(bench) == (Depth(10, 10, SOURCE), Flow(6, 4, 4, 4))
    await bench.ack(taken[2])
    assert await _seen(bench) == (Depth(10, 9, SOURCE), Flow(6, 3, 4, 4))


async def test_what_was_just_released_counts_as_waiting(bench: Bench) -> None:
    """The broker's own count of it may come late, on a busy machine by a good part of a batch."""
    for released in range(500, 10_001, 500):
        await bench.publisher.release(UID, released - 500, payloads(500))
        flow = await bench.observer.flow(UID)
        assert flow is not None
        assert flow.waits(released, released) == released
    await bench.take(UID, 300)
    depth, flow = await _seen(bench)
    assert flow.waits(depth.last_seq, depth.messages) == 9_700


async def test_a_consumer_made_again_does_not_count_what_has_ended(bench: Bench) -> None:
    await bench.publisher.release(UID, 0, payloads(10))
    taken = await bench.take(UID, 10)
    for task in taken[1:]:
        await bench.ack(task)
    await bench.streams.rebuild_consumer(UID, paused=False)
    depth, flow = await _seen(bench)
    assert flow.waits(depth.last_seq, depth.messages) == 1
    await bench.take(UID, 1)
    depth, flow = await _seen(bench)
    assert flow.waits(depth.last_seq, depth.messages) == 0


async def test_a_task_handed_back_is_held_and_comes_again(bench: Bench) -> None:
    await bench.publisher.release(UID, 0, payloads(2))
    first, _ = await bench.take(UID, 2)
    await bench.nak(first)
    depth, flow = await _seen(bench)
    assert (depth.messages, flow.waiting, flow.held) == (2, 0, 2)
    (again,) = await bench.take(UID, 5)
    assert (again.index, again.delivered) == (0, 2)
    _, flow = await _seen(bench)
    assert (flow.deliveries, flow.first_deliveries, flow.redeliveries) == (3, 2, 1)


async def test_a_pause_stops_deliveries_and_nothing_else(bench: Bench) -> None:
    await bench.publisher.release(UID, 0, payloads(3))
    acked, handed_back = await bench.take(UID, 2)
    await bench.streams.pause(UID, paused=True)
    assert (await _seen(bench))[1].paused
    await bench.ack(acked)
    await bench.nak(handed_back)
    assert await bench.take(UID, 5) == []
    assert await bench.publisher.release(UID, 3, payloads(1, 3)) == 4
    depth, flow = await _seen(bench)
    assert (depth.messages, flow.waiting, flow.held) == (3, 2, 1)
    await bench.streams.pause(UID, paused=False)
    assert not (await _seen(bench))[1].paused
    assert sorted(task.index for task in await bench.take(UID, 5)) == [1, 2, 3]


async def test_pausing_twice_is_fine(bench: Bench) -> None:
    for paused in (True, True, False, False):
        await bench.streams.pause(UID, paused=paused)
        assert (await _seen(bench))[1].paused is paused


@pytest.mark.parametrize("paused", [True, False])
async def test_a_consumer_made_again_delivers_what_is_left(bench: Bench, paused: bool) -> None:
    await bench.publisher.release(UID, 0, payloads(5))
    taken = await bench.take(UID, 3)
    await bench.ack(taken[0])
    await bench.streams.rebuild_consumer(UID, paused=paused)
    _, flow = await _seen(bench)
    assert (flow.waiting, flow.held, flow.deliveries, flow.paused) == (4, 0, 0, paused)
    assert flow.redeliveries == 0
    expected = [] if paused else [1, 2, 3, 4]
    assert [task.index for task in await bench.take(UID, 5)] == expected


async def test_redeliveries_of_a_consumer_made_again_still_show_in_the_difference(bench: Bench) -> None:
    await bench.publisher.release(UID, 0, payloads(5))
    for task in await bench.take(UID, 3):
        await bench.ack(task)
    await bench.streams.rebuild_consumer(UID, paused=False)
    (task,) = await bench.take(UID, 1)
    _, before = await _seen(bench)
    await bench.nak(task)
    await bench.take(UID, 1)
    _, after = await _seen(bench)
    assert before.deliveries - before.first_deliveries + 1 == after.deliveries - after.first_deliveries


async def test_a_consumer_that_is_gone_is_seen_and_made_again(bench: Bench) -> None:
    await bench.publisher.release(UID, 0, payloads(2))
    await bench.lose_consumer(UID)
    assert await bench.observer.flow(UID) is None
    await bench.streams.rebuild_consumer(UID, paused=False)
    assert len(await bench.take(UID, 5)) == 2


async def test_another_setting_changes_no_run_and_ends_no_pause(real: JetStreamBench) -> None:
    await real.streams.provision(RUN, SOURCE)
    await real.streams.pause(UID, paused=True)
    other = JetStreamWorkStreams(real.js, dataclasses.replace(real.settings, ack_wait_seconds=7.0))
    await other.provision(RUN, SOURCE)
    info = await real.js.api(f"CONSUMER.INFO.{real.names.work_stream(UID)}.workers")
    assert info["paused"]
    assert info["config"]["ack_wait"] == real.settings.ack_wait_seconds * 1e9
