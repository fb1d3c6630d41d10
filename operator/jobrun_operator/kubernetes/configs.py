"""The ports ``ConfigMaps`` and ``Secrets``: read live, one object at a time, so that no list permission is needed."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from jobrun_operator.errors import Gone, NotAllowed, SourceUnavailable
from jobrun_operator.kubernetes.api import KubeApi, Object, collection


class KubeConfigMaps:
    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def read_key(self, namespace: str, name: str, key: str) -> bytes:
        found = await _read(self._api, "ConfigMap", "configmaps", namespace, name)
        if key in (found.get("binaryData") or {}):
            return base64.b64decode(found["binaryData"][key])
        if key in (found.get("data") or {}):
            return str(found["data"][key]).encode()
        raise SourceUnavailable(f"ConfigMap {namespace}/{name} has no key {key!r} (yet)")


class KubeSecrets:
    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def read_all(self, namespace: str, name: str) -> Mapping[str, str]:
        found = await _read(self._api, "Secret", "secrets", namespace, name)
        try:
            return {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}
        except UnicodeDecodeError:
            raise SourceUnavailable(f"Secret {namespace}/{name} has a value that is not text") from None


async def _read(api: KubeApi, kind: str, plural: str, namespace: str, name: str) -> Object:
    try:
        return await api.get(f"{collection('v1', plural, namespace)}/{name}")
    except Gone:
        raise SourceUnavailable(f"there is no {kind} {namespace}/{name} (yet)") from None
    except NotAllowed as error:
        raise SourceUnavailable(f"{kind} {namespace}/{name} can't be read: {error}") from error
