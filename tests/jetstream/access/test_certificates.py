"""TLS: the broker is known by its authority, and who connects by a certificate, where the broker wants one."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from jobrun_operator.errors import EnvironmentFault
from jobrun_operator.jetstream.client import connect
from jobrun_worker.address import BrokerAddress
from jobrun_worker.broker import Broker
from jobrun_worker.settings import WorkerSettings
from support.certificates import Certificate, authority, need_openssl, signed
from support.nats_server import NatsServer


@dataclass(frozen=True)
class Guarded:
    server: NatsServer
    address: BrokerAddress
    authority: Certificate
    folder: Path


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    """A broker that wants to see a certificate."""
    need_openssl()
    ca = authority(tmp_path)
    server, client = signed(tmp_path, "server", ca), signed(tmp_path, "client", ca)
    tls = (
        f'tls {{ cert_file: "{server.cert}", key_file: "{server.key}", ca_file: "{ca.cert}", verify: true }}'
    )
    async with NatsServer(tmp_path / "nats", tls) as broker:
        address = BrokerAddress(
            broker.url.replace("nats://", "tls://"),
            tls_ca=str(ca.cert),
            tls_cert=str(client.cert),
            tls_key=str(client.key),
        )
        yield Guarded(broker, address, ca, tmp_path)


async def test_operator_and_worker_show_their_certificate(guarded: Guarded) -> None:
    client = await connect(guarded.address, "test")
    await client.close()
    worker = Broker(_worker(guarded.address))
    await worker.connect()
    assert worker.connected
    await worker.close()


async def test_without_a_certificate_nobody_gets_in(guarded: Guarded) -> None:
    with pytest.raises(EnvironmentFault, match="no connection to the broker"):
        await connect(replace(guarded.address, tls_cert="", tls_key=""), "test", timeout=1)


async def test_another_authority_is_said(guarded: Guarded) -> None:
    other = authority(guarded.folder, "other")
    with pytest.raises(EnvironmentFault, match="certificate verify failed"):
        await connect(replace(guarded.address, tls_ca=str(other.cert)), "test", timeout=1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tls_ca": "none.crt"}, r"none\.crt is no certificate authority"),
        ({"tls_cert": "none.crt"}, r"none\.crt and .* are no certificate with its key"),
        ({"tls_key": ""}, "needs its key"),
        ({"tls_cert": ""}, "the key its certificate"),
        ({"credentials": "none.creds"}, r"none\.creds can't be read"),
    ],
)
async def test_files_that_can_not_be_used_are_named(
    guarded: Guarded, change: dict[str, str], says: str
) -> None:
    address = replace(guarded.address, **change)
    with pytest.raises(EnvironmentFault, match=says):
        await connect(address, "test")
    with pytest.raises(ValueError, match=says):
        _worker(address).address.login()


@pytest.mark.parametrize("late", [False, True], ids=["before the loss", "after the loss"])
async def test_a_renewed_certificate_is_taken_at_the_next_connection(guarded: Guarded, late: bool) -> None:
    """Authority, server's and client's certificate change under an operator and a worker that go on."""
    client, worker = await connect(guarded.address, "test"), Broker(_worker(guarded.address))
    await worker.connect()
    fresh = guarded.folder / "fresh"
    fresh.mkdir()
    ca = authority(fresh)
    signed(fresh, "server", ca)
    signed(fresh, "client", ca)
    theirs = [path for path in fresh.iterdir() if path.name.startswith("client.") or path.name == "ca.crt"]
    await guarded.server.stop()
    if late:
        # The server trusts and shows the new ones; ours come after attempts that were in vain.
        for path in fresh.glob("server.*"):
            shutil.copy(path, guarded.folder / path.name)
        await guarded.server.start()
        while "TLS handshake error" not in guarded.server.log:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    for path in (*theirs, *fresh.glob("server.*")):
        shutil.copy(path, guarded.folder / path.name)
    await guarded.server.restart()
    async with asyncio.timeout(20):
        while not (client.is_connected and worker.connected):  # noqa: ASYNC110  # another process's state: nothing signals it
            await asyncio.sleep(0.02)
        await client.flush()
    await client.close()
    await worker.close()


def _worker(address: BrokerAddress) -> WorkerSettings:
    return WorkerSettings(
        nats_url=address.url,
        nats_credentials=address.credentials,
        nats_tls_ca=address.tls_ca,
        nats_tls_cert=address.tls_cert,
        nats_tls_key=address.tls_key,
        uid="0001",
        run="backfill",
        namespace="shop",
        handler_python="push:call",
    )
