"""Tasks in a key of a ConfigMap: ``spec.tasks.configMap``.

A ConfigMap holds at most 1 MiB, so that it is read whole. Its version is the SHA-256 of its bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobrun_operator.engine.ports import ConfigMaps
from jobrun_operator.tasks.streamed import OpenBytes, changed


class ConfigMapBytes:
    """A ``ByteStream`` over one key."""

    def __init__(self, config_maps: ConfigMaps, namespace: str, name: str, key: str) -> None:
        self._config_maps = config_maps
        self._namespace = namespace
        self._config_map = name
        self._key = key
        self.name = f"ConfigMap {name} key {key}"

    async def version(self) -> str:
        return _version(await self._read())

    @asynccontextmanager
    async def open(self, expected: str = "") -> AsyncIterator[OpenBytes]:
        data = await self._read()
        version = _version(data)
        if expected and version != expected:
            raise changed(self.name)
        yield OpenBytes(version, _once(data))

    async def _read(self) -> bytes:
        return await self._config_maps.read_key(self._namespace, self._config_map, self._key)


def _version(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
