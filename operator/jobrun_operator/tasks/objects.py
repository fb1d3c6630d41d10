"""Tasks in an object of the broker's object store: ``spec.tasks.object``. Its version is its digest."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from jobrun_operator.engine.ports import Objects
from jobrun_operator.tasks.streamed import OpenBytes, changed


class ObjectBytes:
    """A ``ByteStream`` over one object."""

    def __init__(self, objects: Objects, bucket: str, name: str, display: str = "") -> None:
        self._objects = objects
        self._bucket = bucket
        self._object = name
        self.name = display or f"{bucket}/{name}"

    async def version(self) -> str:
        return await self._objects.digest(self._bucket, self._object)

    @asynccontextmanager
    async def open(self, expected: str = "") -> AsyncIterator[OpenBytes]:
        version = await self.version()
        if expected and version != expected:
            raise changed(self.name)
        chunks = self._chunks(version)
        try:
            yield OpenBytes(version, chunks)
        finally:
            await chunks.aclose()

    async def _chunks(self, version: str) -> AsyncGenerator[bytes]:
        """The object's bytes; its digest is read again once they flow, as it could have been replaced since."""
        begun = False
        async for chunk in self._objects.read(self._bucket, self._object):
            if not begun and await self.version() != version:
                raise changed(self.name)
            begun = True
            yield chunk
