"""ConfigMaps and Secrets in memory: the ports ``ConfigMaps`` and ``Secrets`` over plain dictionaries."""

from __future__ import annotations

from collections.abc import Mapping

from jobrun_operator.errors import SourceUnavailable


class MemoryConfigMaps:
    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], dict[str, bytes]] = {}

    async def read_key(self, namespace: str, name: str, key: str) -> bytes:
        try:
            return self.stored[namespace, name][key]
        except KeyError:
            raise SourceUnavailable(f"ConfigMap {namespace}/{name} has no key {key!r} (yet)") from None


class MemorySecrets:
    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], dict[str, str]] = {}

    async def read_all(self, namespace: str, name: str) -> Mapping[str, str]:
        try:
            return dict(self.stored[namespace, name])
        except KeyError:
            raise SourceUnavailable(f"there is no Secret {namespace}/{name} (yet)") from None
