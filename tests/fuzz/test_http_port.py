"""Garbage, halves of requests and a thousand connections at the port of probes: answered or dropped, never kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from fuzz.examples import TIMES
from jobrun_worker import serving
from jobrun_worker.serving import Port

_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
_PIECES = [
    *(
        b"GET ",
        b"POST ",
        b"/healthz",
        b"/metrics",
        b" HTTP/1.1",
        b" HTTP/9.9",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"\x00",
    ),
    *(
        b"Host: a",
        b"Host: \xff",
        b"Content-Length: -5",
        b"Content-Length: 99999999999999999999",
        b"/" + b"x" * 9000,
    ),
    *(
        b"Transfer-Encoding: chunked",
        b"zz",
        b"http://[",
        b"/%zz%00",
        b"Expect: 100-continue",
        b"Upgrade: websocket",
    ),
    *(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"Connection: keep-alive",
        b": x",
        b"\xff" * 50,
        b"Content-Encoding: gzip",
    ),
]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def healthz() -> web.Response:
        return web.Response(text="ok\n")

    served = Port({"/healthz": healthz}, "127.0.0.1", 0)
    yield await served.start()
    await served.stop()


async def _sends(port: int, data: bytes, patience: float = 30.0) -> bytes:
    """The beginning of the answer; empty where none comes for so many seconds, or the connection is dropped."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(patience):
            writer.write(data)
            return await reader.read(1 << 16)
    except (ConnectionError, TimeoutError):
        return b""
    finally:
        await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def _is_well(port: int) -> bool:
    return b" 200 OK\r\n" in await _sends(
        port, b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )


async def test_garbage_is_answered_and_leaves_no_traceback(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    chance = random.Random(7)
    for number in range(200 * TIMES):
        data = (
            b"".join(chance.choices(_PIECES, k=chance.randint(1, 8))) if number % 2 else bytearray(_REQUEST)
        )
        if isinstance(data, bytearray):
            for _ in range(chance.randint(1, 3)):
                data[chance.randrange(len(data))] = chance.randrange(256)
        answer = await _sends(port, bytes(data), patience=0.02)
        assert answer == b"" or answer.startswith(b"HTTP/")
        assert b" 500 " not in answer
        assert b"Traceback" not in answer
    assert await _is_well(port)
    assert [record for record in caplog.records if record.exc_info] == []


async def test_other_paths_and_methods(port: int) -> None:
    for request, status in ((b"GET /", b" 404 "), (b"POST /healthz", b" 405 "), (b"HEAD /healthz", b" 200 ")):
        head = request + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert status in (await _sends(port, head)).partition(b"\r\n")[0]


async def test_a_fault_of_a_page_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> web.Response:
        raise RuntimeError("broken")

    served = Port({"/healthz": broken}, "127.0.0.1", 0)
    port = await served.start()
    assert b" 500 " in await _sends(port, b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    await served.stop()
    assert [record for record in caplog.records if record.exc_info]


async def test_connections_that_stay_give_way_to_probes(port: int) -> None:
    """Each sends half of a request, and waits."""
    before = _open_files()
    stay = []
    for _ in range(3 * serving.MOST_CONNECTIONS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHo")
        stay.append((reader, writer))
    assert await _is_well(port)
    dropped = stay[: 2 * serving.MOST_CONNECTIONS]
    async with asyncio.timeout(30):
        for reader, _ in dropped:
            assert await reader.read() == b""
    for _, writer in stay:
        await _closed(writer)
    async with asyncio.timeout(30):
        while _open_files() > before + 4:  # noqa: ASYNC110  # the system tells nobody
            await asyncio.sleep(0.02)


async def test_half_a_request_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LONGEST_CONNECTION", 0.05)
    monkeypatch.setattr(serving, "LAST_ANSWER", 0.05)
    for begun in (
        b"",
        b"GET /healthz HTTP/1.1\r\nHo",
        _REQUEST[:-30],
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        async with asyncio.timeout(30):
            await reader.read()
        await _closed(writer)


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
