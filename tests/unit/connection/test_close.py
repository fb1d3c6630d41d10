"""Closing a connection, whatever the client library makes of it."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client

from jobrun_worker.address import BrokerAddress
from jobrun_worker.client import CLOSE_SECONDS, LastingClient


@pytest.fixture
def client() -> LastingClient:
    return LastingClient(BrokerAddress("nats://127.0.0.1:1"), "_INBOX.x")


async def test_a_wait_that_the_library_has_cancelled_is_no_cancellation(
    client: LastingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close(_: Client) -> None:
        shared = asyncio.get_running_loop().create_future()
        shared.cancel()
        await shared

    monkeypatch.setattr(Client, "close", close)
    await client.close()


async def test_who_closes_can_be_cancelled_and_never_waits_for_long(
    client: LastingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close(_: Client) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(Client, "close", close)
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(1)
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    began = asyncio.get_running_loop().time()
    await client.close()
    assert asyncio.get_running_loop().time() - began == pytest.approx(CLOSE_SECONDS)
