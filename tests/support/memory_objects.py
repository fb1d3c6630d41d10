"""An object store in memory: the port ``Objects`` and ``put``, as the broker's keeps them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterable, AsyncIterator

from jobrun_operator.errors import SourceUnavailable


class MemoryObjects:
    """Reading goes on with the bytes that it began with only until the object is replaced, as in the broker."""

    def __init__(self, chunk: int = 128 * 1024) -> None:
        self._chunk = chunk
        self._stored: dict[tuple[str, str], bytes] = {}

    async def digest(self, bucket: str, name: str) -> str:
        data = self._get(bucket, name)
        return "SHA-256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()

    async def read(self, bucket: str, name: str) -> AsyncIterator[bytes]:
        data = self._get(bucket, name)
        for start in range(0, len(data), self._chunk):
            if self._stored.get((bucket, name)) is not data:
                raise SourceUnavailable(f"object {name!r} in bucket {bucket!r} is being replaced")
            yield data[start : start + self._chunk]

    async def put(self, bucket: str, name: str, chunks: AsyncIterable[bytes]) -> str:
        data = bytes(bytearray(b"".join([chunk async for chunk in chunks])))
        self._stored[bucket, name] = data
        return await self.digest(bucket, name)

    def _get(self, bucket: str, name: str) -> bytes:
        try:
            return self._stored[bucket, name]
        except KeyError:
            raise SourceUnavailable(f"there is no object {name!r} in bucket {bucket!r}") from None
