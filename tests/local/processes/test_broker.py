"""The embedded broker: who may connect, restarts, and each way not to start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from jobrun_operator.errors import EnvironmentFault
from jobrun_operator.local import broker as module
from jobrun_operator.local.broker import EmbeddedBroker, read_address
from local.processes.helpers import until


@contextlib.asynccontextmanager
async def running(broker: EmbeddedBroker) -> AsyncIterator[EmbeddedBroker]:
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


async def connect(broker: EmbeddedBroker) -> Client:
    address = broker.address
    return await nats.connect(address.url, user=address.user, password=address.password)


async def test_it_is_ready_on_a_port_of_its_own_and_says_where(tmp_path: Path) -> None:
    async with running(EmbeddedBroker(tmp_path)) as broker:
        client = await connect(broker)
        assert (await client.jetstream().account_info()).streams == 0
        await client.close()
        assert read_address(tmp_path) == broker.address
    with pytest.raises(FileNotFoundError):
        read_address(tmp_path)


async def test_nobody_without_the_password_can_connect(tmp_path: Path) -> None:
    async with running(EmbeddedBroker(tmp_path)) as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        assert (await reader.readline()).startswith(b"INFO")
        writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
        assert b"Authorization Violation" in await reader.readline()
        writer.close()
        await writer.wait_closed()
        for name in ("address.json", "nats-server.conf"):
            assert stat.S_IMODE((tmp_path / "broker" / name).stat().st_mode) == 0o600
        other = EmbeddedBroker(tmp_path / "other")
        assert other.address.password != broker.address.password


async def test_killed_it_comes_back_on_the_same_port_with_its_store(tmp_path: Path) -> None:
    heard: list[str] = []
    async with running(EmbeddedBroker(tmp_path, on_restart=heard.append)) as broker:
        supervision = asyncio.create_task(broker.supervise())
        address, killed = broker.address, broker.pid
        client = await connect(broker)
        await client.jetstream().add_stream(name="kept", subjects=["kept"])
        await client.jetstream().publish("kept", b"1")
        await client.close()

        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        async def back() -> bool:
            return broker.pid != killed

        await until(back)
        assert broker.address == address
        client = await connect(broker)
        assert (await client.jetstream().stream_info("kept")).state.messages == 1
        await client.close()
        assert heard == ["nats-server ended by itself (SIGKILL); starting it again"]
        await broker.stop()
        await supervision


async def test_a_restart_that_fails_is_tried_again(tmp_path: Path) -> None:
    heard: list[str] = []
    taken: list[socket.socket] = []

    def take_the_port_for_a_while(message: str) -> None:
        heard.append(message)
        if len(heard) == 1:
            taken.append(socket.create_server(("127.0.0.1", broker.port)))
        else:
            taken[0].close()

    broker = EmbeddedBroker(tmp_path, on_restart=take_the_port_for_a_while)
    async with running(broker):
        supervision = asyncio.create_task(broker.supervise())
        killed, port = broker.pid, broker.port
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        async def back() -> bool:
            return broker.pid != killed

        await until(back)
        assert broker.port == port
        assert len(heard) == 2
        assert f"port {port}" in heard[1]
        await broker.stop()
        await supervision


async def test_one_that_goes_on_dying_is_a_fault_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESTARTS", 1)
    async with running(EmbeddedBroker(tmp_path)) as broker:
        supervision = asyncio.create_task(broker.supervise())
        seen: set[int] = set()

        async def given_up() -> bool:
            if broker.pid is not None and broker.pid not in seen:
                seen.add(broker.pid)
                os.kill(broker.pid, signal.SIGKILL)
            return supervision.done()

        await until(given_up)
        with pytest.raises(EnvironmentFault, match=r"(?s)SIGKILL.*2 times.*Server is ready"):
            await supervision
        assert len(seen) == 2


async def test_a_port_in_use_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=rf"port {port} .* in use .* --port"):
            await EmbeddedBroker(tmp_path, port=port).start()


async def test_the_asked_port_is_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with running(EmbeddedBroker(tmp_path, port=port)) as broker:
        assert broker.address.url == f"nats://127.0.0.1:{port}"


async def test_a_store_that_can_not_be_used_is_reported_with_the_log(tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "jetstream").write_text("not a directory")
    with pytest.raises(EnvironmentFault, match=r"(?s)ended at its start \(exit code 1\); its log ends:.*FTL"):
        await EmbeddedBroker(tmp_path).start()


async def test_a_directory_that_can_not_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("not a directory")
    with pytest.raises(EnvironmentFault, match="can't prepare"):
        await EmbeddedBroker(tmp_path).start()


async def test_one_that_does_not_end_is_killed_within_the_bound(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    await broker.start()
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    await broker.stop(within=0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(broker.pid, 0)
