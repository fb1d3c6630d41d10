"""The network of the tests does what its faults say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from faults.proxy import Link

_SOON = 0.2
"""Seconds in which something would have come, if it were to come."""


@asynccontextmanager
async def echoing() -> AsyncIterator[Link]:
    """A link to a server that says what it is told."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    link = Link()
    await link.start(lambda: int(server.sockets[0].getsockname()[1]))
    try:
        yield link
    finally:
        await link.close()
        server.close()


async def connection(link: Link) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", link.port)


async def says(reader: asyncio.StreamReader, seconds: float = 10.0) -> bytes:
    async with asyncio.timeout(seconds):
        return await reader.readline()


async def test_it_passes_everything_on() -> None:
    async with echoing() as link:
        reader, writer = await connection(link)
        writer.write(b"one\n")
        assert await says(reader) == b"one\n"
        writer.write_eof()
        assert await says(reader) == b""
        writer.close()


@pytest.mark.parametrize(("out", "into"), [(True, True), (True, False), (False, True)])
async def test_what_is_held_back_arrives_afterwards(out: bool, into: bool) -> None:
    async with echoing() as link:
        reader, writer = await connection(link)
        link.hold(out=out, into=into)
        writer.write(b"one\n")
        with pytest.raises(TimeoutError):
            await says(reader, _SOON)
        link.heal()
        assert await says(reader) == b"one\n"
        writer.close()


async def test_what_is_lost_never_arrives() -> None:
    async with echoing() as link:
        reader, writer = await connection(link)
        link.hold(out=True, into=True)
        writer.write(b"one\n")
        with pytest.raises(TimeoutError):
            await says(reader, _SOON)
        link.reset()
        link.heal()
        with pytest.raises(ConnectionError):
            await says(reader)
        writer.close()


async def test_what_is_torn_arrives_in_part() -> None:
    async with echoing() as link:
        reader, writer = await connection(link)
        link.tear(0.5)
        writer.write(b"one\ntwo\n")
        assert await says(reader) == b"one\n"
        assert link.torn.is_set()
        writer.write(b"three\n")
        with pytest.raises(TimeoutError):
            await says(reader, _SOON)
        link.reset()
        writer.close()


async def test_a_cut_link_refuses_until_it_is_healed() -> None:
    async with echoing() as link:
        reader, writer = await connection(link)
        writer.write(b"one\n")
        await says(reader)
        link.cut()
        with pytest.raises(ConnectionError):
            await says(reader)
        writer.close()
        again, writer = await connection(link)
        with pytest.raises(ConnectionError):
            await says(again)
        writer.close()
        link.heal()
        reader, writer = await connection(link)
        writer.write(b"two\n")
        assert await says(reader) == b"two\n"
        writer.close()
