"""Undoes ``Content-Encoding: gzip`` as a stream.

The HTTP client can do it as well, but takes a gzip stream that ends too early for a whole one (aiohttp 3.14): a source
would be silently shorter.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator

_GZIP = 31
"""``wbits`` of zlib for gzip's own header and trailer."""

_PART = 64 * 1024
"""Bytes decompressed at once, however well they were compressed."""


class BadGzip(Exception):
    """The bytes are no gzip stream, or its check value is wrong."""


class CutShort(Exception):
    """The gzip stream has no end."""


async def gunzip(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Decompress one or more gzip members (RFC 1952). Raises BadGzip, CutShort."""
    member = zlib.decompressobj(_GZIP)
    begun = False
    try:
        async for chunk in chunks:
            data = chunk
            while data:
                if member.eof:
                    member = zlib.decompressobj(_GZIP)
                begun = True
                if part := member.decompress(data, _PART):
                    yield part
                data = member.unused_data if member.eof else member.unconsumed_tail
        while begun and not member.eof:
            if not (part := member.decompress(b"", _PART)):
                raise CutShort
            yield part
    except zlib.error as error:
        raise BadGzip(str(error)) from error
