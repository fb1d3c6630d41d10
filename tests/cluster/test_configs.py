"""ConfigMaps and Secrets of a real API server, held to the suite of their ports."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from jobrun_operator.kubernetes.api import KubeApi
from jobrun_operator.kubernetes.configs import KubeConfigMaps, KubeSecrets
from jobrun_operator.metrics import OperatorMetrics
from support.configs_conformance import (
    ConfigMapsConformance,
    SecretsConformance,
    StoreConfigMap,
    StoreSecret,
)
from support.control_plane import ControlPlane
from support.kubelet import administrator


@pytest.fixture
async def api(api_server: ControlPlane) -> AsyncIterator[KubeApi]:
    made = KubeApi(administrator(api_server), OperatorMetrics())
    yield made
    for plural in ("configmaps", "secrets"):
        api_server.request("DELETE", f"/api/v1/namespaces/default/{plural}")
    await made.close()


def put(plane: ControlPlane, namespace: str, plural: str, name: str, **fields: Any) -> None:
    path = f"/api/v1/namespaces/{namespace}/{plural}"
    plane.request("DELETE", f"{path}/{name}")
    plane.make(path, {"metadata": {"name": name}, **fields})


class TestConfigMaps(ConfigMapsConformance):
    @pytest.fixture
    def config_maps(self, api: KubeApi) -> KubeConfigMaps:
        return KubeConfigMaps(api)

    @pytest.fixture
    def store_config_map(self, api_server: ControlPlane) -> StoreConfigMap:
        async def store(namespace: str, name: str, data: Mapping[str, bytes]) -> None:
            texts, binaries = {}, {}
            for key, value in data.items():
                try:
                    texts[key] = value.decode()
                except UnicodeDecodeError:
                    binaries[key] = base64.b64encode(value).decode()
            put(api_server, namespace, "configmaps", name, data=texts, binaryData=binaries)

        return store


class TestSecrets(SecretsConformance):
    @pytest.fixture
    def secrets(self, api: KubeApi) -> KubeSecrets:
        return KubeSecrets(api)

    @pytest.fixture
    def store_secret(self, api_server: ControlPlane) -> StoreSecret:
        async def store(namespace: str, name: str, entries: Mapping[str, str]) -> None:
            data = {key: base64.b64encode(value.encode()).decode() for key, value in entries.items()}
            put(api_server, namespace, "secrets", name, data=data)

        return store
