"""The stores in memory that other tests use keep the promises of their ports."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from support.configs_conformance import (
    ConfigMapsConformance,
    SecretsConformance,
    StoreConfigMap,
    StoreSecret,
)
from support.memory_configs import MemoryConfigMaps, MemorySecrets
from support.memory_objects import MemoryObjects
from support.objects_conformance import ObjectsConformance


class TestMemoryObjects(ObjectsConformance):
    @pytest.fixture
    def objects(self) -> MemoryObjects:
        return MemoryObjects()


class TestMemoryConfigMaps(ConfigMapsConformance):
    @pytest.fixture
    def config_maps(self) -> MemoryConfigMaps:
        return MemoryConfigMaps()

    @pytest.fixture
    def store_config_map(self, config_maps: MemoryConfigMaps) -> StoreConfigMap:
        async def store(namespace: str, name: str, data: Mapping[str, bytes]) -> None:
            config_maps.stored[namespace, name] = dict(data)

        return store


class TestMemorySecrets(SecretsConformance):
    @pytest.fixture
    def secrets(self) -> MemorySecrets:
        return MemorySecrets()

    @pytest.fixture
    def store_secret(self, secrets: MemorySecrets) -> StoreSecret:
        async def store(namespace: str, name: str, entries: Mapping[str, str]) -> None:
            secrets.stored[namespace, name] = dict(entries)

        return store
