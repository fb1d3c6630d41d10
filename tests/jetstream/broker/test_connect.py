"""The first connection: made, or refused with what a user can do about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import nats.errors
import pytest

from jobrun_operator.errors import EnvironmentFault
from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_worker.address import BrokerAddress
from jobrun_worker.client import LastingClient
from support.nats_server import NatsServer


async def lost(client: LastingClient) -> None:
    """Return once the client has noticed that its connection is gone."""
    async with asyncio.timeout(20):
        while client.is_connected:  # noqa: ASYNC110  # its callbacks are the product's own: nothing else signals it
            await asyncio.sleep(0.01)


async def test_connected(nats_server: NatsServer) -> None:
    client = await connect(BrokerAddress(nats_server.url), "test")
    assert (await JetStream(client).api("INFO"))["streams"] == 0
    await client.close()


async def test_a_secret_in_the_url_is_not_told(nats_server: NatsServer) -> None:
    await nats_server.stop()
    url = nats_server.url.replace("://", "://hunter2@")
    with pytest.raises(
        EnvironmentFault, match=r"no connection to the broker at nats://127\.0\.0\.1"
    ) as refusal:
        await connect(BrokerAddress(f"{url},nats://a:b@127.0.0.1:1"), "test", timeout=0.5)
    assert "hunter2" not in str(refusal.value)
    assert "a:b" not in str(refusal.value)


async def test_how_long_it_has_been_away(nats_server: NatsServer) -> None:
    client = await connect(BrokerAddress(nats_server.url), "test")
    assert client.away(100.0) == 0
    await nats_server.stop()
    await lost(client)
    assert client.away(130.0) == 30
    assert client.away(140.0) == 40
    await close(client)
    assert client.away(141.0) == float("inf")


async def test_what_is_asked_without_a_connection_is_answered_when_it_is_back(
    nats_server: NatsServer,
) -> None:
    client = await connect(BrokerAddress(nats_server.url), "test")
    await nats_server.stop()
    await lost(client)
    asking = asyncio.create_task(client.request("$JS.API.INFO", timeout=30))
    await asyncio.sleep(0)
    await nats_server.start()
    assert json.loads((await asking).data)["streams"] == 0
    await client.close()


async def test_errors_of_a_request_are_those_of_the_client_library(nats_server: NatsServer) -> None:
    client = await connect(BrokerAddress(nats_server.url), "test")
    for subject, body, error in (
        ("nobody", b"", nats.errors.NoRespondersError),
        ("two words", b"", nats.errors.BadSubjectError),
        ("a", b"x" * (client.max_payload + 1), nats.errors.MaxPayloadError),
    ):
        with pytest.raises(error):
            await client.request(subject, body, timeout=30)
    await client.subscribe("silent")
    asking = asyncio.create_task(client.request("silent", timeout=30))
    await client.flush()
    await client.close()
    async with asyncio.timeout(10):
        with pytest.raises(nats.errors.ConnectionClosedError):
            await asking
    with pytest.raises(nats.errors.ConnectionClosedError):
        await client.request("a", timeout=30)


async def test_nobody_is_there(nats_server: NatsServer) -> None:
    await nats_server.stop()
    with pytest.raises(
        EnvironmentFault, match=r"no connection to the broker at nats://127\.0\.0\.1"
    ) as refusal:
        await connect(BrokerAddress(nats_server.url), "test", timeout=0.5)
    assert "ConnectionRefused" in str(refusal.value)
    assert refusal.value.exit_code == 3


async def test_a_broker_that_starts_a_little_later_is_waited_for(nats_server: NatsServer) -> None:
    await nats_server.stop()
    connecting = asyncio.create_task(connect(BrokerAddress(nats_server.url), "test", timeout=30))
    await asyncio.sleep(0)
    await nats_server.start()
    client = await connecting
    assert client.is_connected
    await client.close()


async def test_credentials_are_refused_at_once(tmp_path: Path) -> None:
    users = 'authorization { users: [{user: "a", password: "secret-password"}] }'
    async with NatsServer(tmp_path, users) as server:
        for address in (BrokerAddress(server.url), BrokerAddress(server.url, "a", "wrong-password")):
            async with asyncio.timeout(20):
                with pytest.raises(EnvironmentFault, match="Authorization Violation") as refusal:
                    await connect(address, "test", timeout=60)
            assert "password" not in str(refusal.value)
            assert "wrong-password" not in repr(address)
        client = await connect(BrokerAddress(server.url, "a", "secret-password"), "test")
        await client.close()


async def test_an_account_without_jetstream(tmp_path: Path) -> None:
    accounts = """
        accounts {
            A: { users: [{user: "a", password: "a"}] }
            B: { jetstream: enabled, users: [{user: "b", password: "b"}] }
        }
    """
    async with NatsServer(tmp_path, accounts) as server:
        with pytest.raises(EnvironmentFault, match="no JetStream for this account"):
            await connect(BrokerAddress(server.url, "a", "a"), "test")


@pytest.fixture
async def old_server() -> AsyncIterator[str]:
    """Says that it is nats-server 2.10.0, and no more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {
            "server_id": "old",
            "version": "2.10.0",
            "max_payload": 1 << 20,
            "headers": True,
            "jetstream": True,
        }
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    async with server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_old_server_is_refused_by_name(old_server: str) -> None:
    with pytest.raises(
        EnvironmentFault, match=r"nats-server 2\.10\.0 .* is too old: JobRun needs 2\.12 or later"
    ):
        await connect(BrokerAddress(old_server), "test")
