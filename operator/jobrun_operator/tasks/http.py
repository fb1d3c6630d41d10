"""Tasks that a web server hands out: ``spec.tasks.http``. Their version is a strong ETag, where there is one.

Promises: what ends without an error is whole. A body that is cut short is gone on with from its last byte
where a strong ETag proves that it is the same (RFC 9110, ``If-Range``), because a slow run reads for hours and servers
close idle connections; else it is ``SourceUnavailable``. A response that doesn't say where it ends
(neither ``Content-Length`` nor chunked) is refused, since nobody could tell.

The body is asked for uncompressed: servers that compress as they send take strong ETags away.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, closing

import aiohttp

from jobrun_operator.engine.ports import Secrets
from jobrun_operator.errors import SourceError, SourceUnavailable
from jobrun_operator.tasks.gunzip import BadGzip, CutShort, gunzip
from jobrun_operator.tasks.httpget import CONNECT_TIMEOUT, READ_TIMEOUT, WHERE, Getter
from jobrun_operator.tasks.streamed import OpenBytes, changed

_STRONG_ETAG = re.compile(r'"[^"]*"')
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class HttpBytes:
    """A ``ByteStream`` over the body at a URL. The Secret is read anew for each pass: tokens are rotated."""

    def __init__(self, url: str, secrets: Secrets | None, namespace: str, secret_name: str | None) -> None:
        self._url = url
        self._secrets = secrets
        self._namespace = namespace
        self._secret_name = secret_name
        self.name = re.sub(r"//[^/?#]*@", "//", re.split("[?#]", url, maxsplit=1)[0])

    async def version(self) -> str:
        async with self._session() as getter:
            response = await getter.get({})
            response.close()
            return strong_etag(response)

    @asynccontextmanager
    async def open(self, expected: str = "") -> AsyncIterator[OpenBytes]:
        async with self._session() as getter:
            response = await getter.get({"If-Match": expected} if expected else {})
            with closing(Body(getter, self.name, response)) as body:
                body.check(expected)
                async with aclosing(body.raw()) as raw, aclosing(self._decoded(raw, body.encoding)) as chunks:
                    yield OpenBytes(body.etag, chunks)

    async def _decoded(self, raw: AsyncIterator[bytes], encoding: str) -> AsyncGenerator[bytes]:
        parts = gunzip(raw) if encoding == "gzip" else raw
        try:
            async for part in parts:
                yield part
        except BadGzip as error:
            raise SourceError(
                WHERE, f"{self.name} is not the gzip stream that it claims to be ({error})"
            ) from error
        except CutShort:
            raise SourceUnavailable(f"{self.name} was cut short inside its gzip stream") from None

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Getter]:
        credentials: Mapping[str, str] = {}
        if self._secret_name and self._secrets:
            credentials = await self._secrets.read_all(self._namespace, self._secret_name)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            yield Getter(session, self._url, credentials)


class Body:
    """The bytes of one response, and of those that go on where it was cut."""

    def __init__(self, getter: Getter, name: str, response: aiohttp.ClientResponse) -> None:
        self._getter = getter
        self._name = name
        self._response = response
        self._received = 0
        """Bytes handed out."""
        self._again = 0
        """Bytes to come that were handed out before."""
        self.etag = strong_etag(response)
        self.encoding = _encoding(response)

    def check(self, expected: str) -> None:
        """Refuse what can't be read whole and once more."""
        if self._response.status == 206:
            raise SourceError(WHERE, f"{self._name} answered with a part only")
        if expected and self.etag != expected:
            raise changed(self._name)
        if self.encoding not in ("identity", "gzip"):
            raise SourceError(WHERE, f"{self._name} is encoded as {self.encoding}; only gzip is understood")
        self._check_length()

    async def raw(self) -> AsyncGenerator[bytes]:
        """The bytes as they were sent. Raises SourceUnavailable where they end early."""
        while True:
            before = self._received
            try:
                with self._getter.translated():
                    async for chunk in self._chunks():
                        yield chunk
                if self._again:
                    raise changed(self._name)
                return
            except SourceUnavailable:
                if not self.etag or self._received == before:
                    raise
            await self._go_on()

    def close(self) -> None:
        self._response.close()

    async def _chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.content.iter_any():
            known = min(self._again, len(chunk))
            self._again -= known
            if fresh := chunk[known:]:
                self._received += len(fresh)
                yield fresh

    async def _go_on(self) -> None:
        """Ask for the rest; a server that does not do ranges sends it all again."""
        self.close()
        conditions = {"Range": f"bytes={self._received}-", "If-Range": self.etag, "If-Match": self.etag}
        response = self._response = await self._getter.get(conditions)
        if strong_etag(response) != self.etag or _encoding(response) != self.encoding:
            raise changed(self._name)
        self._check_length()
        self._again = self._received
        if response.status == 206:
            self._again = 0
            sent = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            first, last, size = map(int, sent.groups()) if sent else (0, 0, 0)
            if (first, last + 1) != (self._received, size):
                raise SourceUnavailable(
                    f"{self._name} was cut short, and its server sent another part than asked for"
                )

    def _check_length(self) -> None:
        headers = self._response.headers
        chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        if not chunked and "Content-Length" not in headers:
            raise SourceError(
                WHERE,
                f"{self._name} does not say how long it is (no Content-Length, not chunked): "
                "a body that is cut short could not be told from a whole one",
            )


def strong_etag(response: aiohttp.ClientResponse) -> str:
    """The ETag with its quotes; empty for a weak one, which does not promise the same bytes."""
    etag = response.headers.get("ETag", "").strip()
    return etag if _STRONG_ETAG.fullmatch(etag) else ""


def _encoding(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("Content-Encoding", "").strip().lower() or "identity"
