"""A web server for tests of ``spec.tasks.http``: answers as it is told to, byte by byte where need be.

It is spoken to over real sockets. ``responses`` are functions of the request that write a whole response, head
included, so that a body can be cut anywhere; the last one answers all further requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Request = dict[str, str]
"""Header fields by their lower-case names, and ``:path``."""

Response = Callable[[Request], bytes]


@dataclass
class HttpServer:
    port: int = 0
    responses: list[Response] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def url(self, path: str = "/ids.jsonl") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            request = {":path": first.split()[1]}
            for line in filter(None, lines):
                name, _, value = line.partition(":")
                request[name.lower()] = value.strip()
            self.requests.append(request)
            respond = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
            writer.write(respond(request))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def http_server(*responses: Response) -> AsyncIterator[HttpServer]:
    server = HttpServer(responses=list(responses))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


def answer(
    body: bytes = b"",
    status: str = "200 OK",
    *,
    length: int | None = -1,
    cut: int | None = None,
    **headers: str,
) -> Response:
    """A response with these header fields (``_`` for ``-``); ``length`` None leaves Content-Length out, ``cut`` closes
    the connection after so many bytes of the body."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if length is not None:
        fields["Content-Length"] = str(len(body) if length < 0 else length)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    whole = f"HTTP/1.1 {status}\r\nConnection: close\r\n{head}\r\n".encode() + body[:cut]
    return lambda request: whole


def ranged(body: bytes, etag: str, *, cut: int | None = None) -> Response:
    """As a file server does it: ranges and conditions; ``cut`` ends each answer after so many bytes."""

    def respond(request: Request) -> bytes:
        if request.get("if-match", etag) != etag:
            return answer(status="412 Precondition Failed", ETag=etag)(request)
        if "range" in request and request.get("if-range", etag) == etag:
            start = int(request["range"].removeprefix("bytes=").removesuffix("-"))
            sent = f"bytes {start}-{len(body) - 1}/{len(body)}"
            return answer(body[start:], "206 Partial Content", cut=cut, ETag=etag, Content_Range=sent)(
                request
            )
        return answer(body, cut=cut, ETag=etag)(request)

    return respond
