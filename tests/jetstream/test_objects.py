"""The broker's object store: the port's promises, restarts of the broker, and other clients' objects."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import nats
import pytest
from nats.aio.client import Client
from nats.js import api

from jobrun_operator.errors import BrokerBusy, BrokerUnavailable, SourceError
from jobrun_operator.jetstream.objects import NatsObjects
from support.nats_server import NatsServer
from support.objects_conformance import BUCKET, ObjectsConformance, sha256, stream, whole


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await connected(nats_server)
    yield client
    await client.close()


@pytest.fixture
def objects(client: Client) -> NatsObjects:
    return NatsObjects(client)


async def connected(server: NatsServer, back: asyncio.Event | None = None) -> Client:
    async def reconnected() -> None:
        if back:
            back.set()

    async def ignore(error: Exception) -> None:
        pass

    return await nats.connect(
        server.url,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.05,
        reconnected_cb=reconnected,
        error_cb=ignore,
    )


async def repeated(block: bytes, times: int) -> AsyncIterator[bytes]:
    for _ in range(times):
        yield block


class TestNatsObjects(ObjectsConformance):
    """The port's own suite."""


async def test_reading_goes_on_over_a_restart_of_the_broker(nats_server: NatsServer) -> None:
    back = asyncio.Event()
    client = await connected(nats_server, back)
    objects = NatsObjects(client)
    data = b"0123456789" * 100_000
    await objects.put(BUCKET, "a", stream(data))
    pieces = aiter(objects.read(BUCKET, "a"))
    begin = await anext(pieces)
    await nats_server.kill()
    await nats_server.start()
    async with asyncio.timeout(30):
        await back.wait()
    assert begin + b"".join([piece async for piece in pieces]) == data
    await client.close()


async def test_a_broker_that_is_gone(nats_server: NatsServer) -> None:
    client = await connected(nats_server)
    objects = NatsObjects(client)
    await objects.put(BUCKET, "a", stream(b"1"))
    await client.close()
    with pytest.raises(BrokerUnavailable, match="did not answer"):
        await objects.digest(BUCKET, "a")
    with pytest.raises(BrokerUnavailable):
        await objects.put(BUCKET, "a", stream(b"2"))


async def test_objects_of_the_client_library_are_read_and_the_other_way_round(client: Client) -> None:
    objects = NatsObjects(client)
    data = b"line\n" * 100_000
    store = await client.jetstream().create_object_store(BUCKET)
    theirs = await store.put("theirs", data)
    assert await whole(objects, "theirs") == data
    assert await objects.digest(BUCKET, "theirs") == theirs.digest
    await objects.put(BUCKET, "ours", stream(data))
    assert (await store.get("ours")).data == data


async def test_a_link_is_followed(client: Client) -> None:
    objects = NatsObjects(client)
    await objects.put("others", "real", stream(b"data"))
    await objects.put(BUCKET, "link", stream())
    store = await client.jetstream().object_store(BUCKET)
    link = api.ObjectMetaOptions(link=api.ObjectLink(bucket="others", name="real"))
    await objects._put_info(api.ObjectInfo(name="link", bucket=BUCKET, nuid="N1", options=link))
    assert (await store.get_info("link")).is_link()
    assert await whole(objects, "link") == b"data"
    assert await objects.digest(BUCKET, "link") == sha256(b"data")


async def test_a_damaged_object_is_refused(client: Client) -> None:
    objects = NatsObjects(client)
    await objects.put(BUCKET, "a", stream(b"good"))
    info = await objects._info(BUCKET, "a")
    info.digest = sha256(b"evil")
    await objects._put_info(info)
    with pytest.raises(SourceError, match="inputs/a: the stored object is damaged"):
        await whole(objects, "a")


async def test_a_full_bucket_says_so_and_keeps_nothing(client: Client) -> None:
    objects = NatsObjects(client)
    await client.jetstream().create_object_store(BUCKET, api.ObjectStoreConfig(max_bytes=1_000_000))
    with pytest.raises(BrokerBusy, match="no room"):
        await objects.put(BUCKET, "large", stream(b"x" * 2_000_000))
    await objects.put(BUCKET, "small", stream(b"x" * 500_000))


async def test_replacing_frees_the_room(client: Client) -> None:
    objects = NatsObjects(client)
    for _ in range(3):
        await objects.put(BUCKET, "a", stream(b"x" * 500_000))
    state = (await client.jetstream().stream_info(f"OBJ_{BUCKET}")).state
    assert state.bytes < 600_000


async def test_memory_stays_flat(client: Client) -> None:
    objects = NatsObjects(client)
    tracemalloc.start()
    try:
        await objects.put(BUCKET, "a", repeated(b"x" * 1_000_000, 50))
        size = 0
        async for piece in objects.read(BUCKET, "a"):
            size += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 50_000_000
    assert peak < 8_000_000
