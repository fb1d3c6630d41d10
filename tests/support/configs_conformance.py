"""What every implementation of the ports ``ConfigMaps`` and ``Secrets`` must do.

A test class inherits it and gives the fixtures: the port, and a function that stores something for it to read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import pytest

from jobrun_operator.engine.ports import ConfigMaps, Secrets
from jobrun_operator.errors import SourceUnavailable

StoreConfigMap = Callable[[str, str, Mapping[str, bytes]], Awaitable[None]]
"""Of namespace, name and data; replaces what was there. Bytes that are no UTF-8 go to ``binaryData``."""

StoreSecret = Callable[[str, str, Mapping[str, str]], Awaitable[None]]


class ConfigMapsConformance:
    @pytest.mark.parametrize("data", [b"", b"1\n2\n", "ü\r\n".encode(), bytes(range(256))])
    async def test_bytes_are_kept(
        self, config_maps: ConfigMaps, store_config_map: StoreConfigMap, data: bytes
    ) -> None:
        await store_config_map("default", "ids", {"a.jsonl": data, "b.csv": b"other"})
        assert await config_maps.read_key("default", "ids", "a.jsonl") == data

    async def test_the_newest_is_read(
        self, config_maps: ConfigMaps, store_config_map: StoreConfigMap
    ) -> None:
        for data in (b"old", b"new"):
            await store_config_map("default", "ids", {"a.csv": data})
            assert await config_maps.read_key("default", "ids", "a.csv") == data

    @pytest.mark.parametrize(
        ("namespace", "name", "key"),
        [("default", "ids", "missing"), ("default", "missing", "a.csv"), ("elsewhere", "ids", "a.csv")],
    )
    async def test_what_is_missing_may_come_yet(
        self, config_maps: ConfigMaps, store_config_map: StoreConfigMap, namespace: str, name: str, key: str
    ) -> None:
        await store_config_map("default", "ids", {"a.csv": b"1"})
        with pytest.raises(SourceUnavailable, match=name):
            await config_maps.read_key(namespace, name, key)


class SecretsConformance:
    async def test_all_entries_are_read(self, secrets: Secrets, store_secret: StoreSecret) -> None:
        entries = {"Authorization": "Bearer x\n", "X-Key": "ü"}
        await store_secret("default", "login", entries)
        assert await secrets.read_all("default", "login") == entries

    @pytest.mark.parametrize(("namespace", "name"), [("default", "missing"), ("elsewhere", "login")])
    async def test_what_is_missing_may_come_yet(
        self, secrets: Secrets, store_secret: StoreSecret, namespace: str, name: str
    ) -> None:
        await store_secret("default", "login", {"A": "1"})
        with pytest.raises(SourceUnavailable, match=name):
            await secrets.read_all(namespace, name)
