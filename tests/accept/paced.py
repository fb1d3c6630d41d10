"""Releasing alone, at a rate that no worker of this machine keeps up with; the broker's clock tells when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import nats
from nats.aio.msg import Msg

from accept.bound import Bound, at_least, at_most, same, told, true
from jobrun_operator.core.pacing import Limits, Rate
from jobrun_operator.engine.ports import RunRef
from jobrun_operator.engine.releaser import Releaser
from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_operator.tasks.counted import CountedSource
from jobrun_worker.address import BrokerAddress
from jobrun_worker.wire import CONSUMER, Delivery
from support.measure import average_rate, excess, most_in_window
from support.nats_server import NatsServer
from support.process_marks import processor_seconds

_SETTINGS = LayoutSettings(installation="accept", work_max_bytes=-1, events_max_bytes=-1)
_RUN = RunRef("accept", "paced", "0001")
_UNBOUNDED = 10**9
_PAGE = 10_000
"""Tasks asked for at a time: more than a client takes in would be cut off by the server."""
_NANOSECONDS = 1_000_000_000
_LIMIT = 120.0
"""Seconds that releasing, and reading it back, may take each."""


def released(folder: Path, *, count: int, rate: int, burst: int) -> Iterator[Bound]:
    """``rate`` in tasks a second; nothing but it bounds the release."""
    times, cores = asyncio.run(_release(folder, count, Rate(rate, burst)))
    yield same("released", len(times), count)
    yield true("in the order of index", times == sorted(times))
    yield at_most("most released in any second", most_in_window(times, 1.0), rate + burst)
    yield at_most("most above the rate in any window", excess(times, rate), burst)
    yield at_most("rate of the whole release", average_rate(times), 1.01 * rate, "/s", of_speed=True)
    yield at_least("rate of the whole release", average_rate(times), 0.99 * rate, "/s", of_speed=True)
    yield told("releasing takes of a core", f"{cores:.2f}")


async def _release(folder: Path, count: int, rate: Rate) -> tuple[list[int], float]:
    """When the broker stored each task, by index, in nanoseconds; the cores that releasing took."""
    async with NatsServer(folder / "nats") as server:
        client = await connect(BrokerAddress(server.url), "accept")
        try:
            js = JetStream(client)
            source, observer = CountedSource(count), JetStreamObserver(js, _SETTINGS)
            await JetStreamWorkStreams(js, _SETTINGS).provision(_RUN, await source.scan())
            depth, flow = await observer.depth(_RUN.uid), await observer.flow(_RUN.uid)
            assert depth is not None
            assert flow is not None
            publisher = JetStreamPublisher(js, _SETTINGS.names)
            releaser = Releaser(_RUN, source, publisher, observer, depth=depth, flow=flow)
            cores = await _pace(releaser, Limits(count, rate, _UNBOUNDED, _UNBOUNDED))
        finally:
            await close(client)
        return await _read(server.url, count), cores


async def _pace(releaser: Releaser, limits: Limits) -> float:
    loop, pid = asyncio.get_running_loop(), "self"
    releaser.limit(limits)
    releasing = asyncio.create_task(releaser.run())
    try:
        async with asyncio.timeout(_LIMIT):
            while not releaser.released:
                await asyncio.wait({releasing}, timeout=0.01)
            began, used = loop.time(), processor_seconds(pid)
            while releaser.released < limits.total and not (releasing.done() or releaser.fault):
                await asyncio.wait({releasing}, timeout=0.05)
            return (processor_seconds(pid) - used) / (loop.time() - began)
    finally:
        releasing.cancel()
        await asyncio.wait({releasing})


async def _read(url: str, count: int) -> list[int]:
    times = [0] * count
    left, read = count, asyncio.Event()
    client = await nats.connect(url)
    inbox = client.new_inbox()
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{_SETTINGS.names.work_stream(_RUN.uid)}.{CONSUMER}"
    request = json.dumps({"batch": _PAGE, "expires": int(_LIMIT) * _NANOSECONDS}).encode()

    async def on_message(message: Msg) -> None:
        nonlocal left
        delivery = Delivery.parse(message.reply.encode())
        if not times[delivery.index]:
            times[delivery.index] = delivery.released_ns
            left -= 1
            if left % _PAGE == 0:
                await client.publish(subject, request, reply=inbox)
        if not left:
            read.set()

    try:
        await client.subscribe(inbox, cb=on_message)
        await client.publish(subject, request, reply=inbox)
        async with asyncio.timeout(_LIMIT):
            await read.wait()
    finally:
        await client.close()
    return times
