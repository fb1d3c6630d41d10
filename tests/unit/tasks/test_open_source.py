"""``spec.tasks`` as a source: each kind, through the stores that a mode has."""

from __future__ import annotations

from typing import Any

import pytest

from jobrun_operator.api import Tasks
from jobrun_operator.engine.ports import TaskSource
from jobrun_operator.errors import InputError, SourceError, SourceUnavailable
from jobrun_operator.tasks import SourcePorts, open_source
from support.byte_streams import MAX_PAYLOAD, payloads
from support.http_source import answer, http_server
from support.memory_configs import MemoryConfigMaps, MemorySecrets
from support.memory_objects import MemoryObjects
from support.objects_conformance import stream


class Stores:
    def __init__(self) -> None:
        self.config_maps = MemoryConfigMaps()
        self.secrets = MemorySecrets()
        self.objects = MemoryObjects(chunk=4)
        self.ports = SourcePorts(self.config_maps, self.secrets, self.objects)


@pytest.fixture
def stores() -> Stores:
    return Stores()


def opened(spec: dict[str, Any], ports: SourcePorts, display: str = "") -> TaskSource:
    tasks = Tasks.model_validate(spec)
    return open_source(tasks, namespace="default", ports=ports, max_payload=MAX_PAYLOAD, display=display)


async def test_count() -> None:
    assert await payloads(opened({"count": 2}, SourcePorts())) == [b'{"index": 0}', b'{"index": 1}']


async def test_items() -> None:
    assert await payloads(opened({"items": [{"a": 1}]}, SourcePorts())) == [b'{"a":1}']


class TestConfigMap:
    async def test_format_by_the_ending_of_the_key(self, stores: Stores) -> None:
        stores.config_maps.stored["default", "ids"] = {"a.csv": b"id\n1\n", "b.jsonl": b"1\n2\n"}
        for key, expected in (("a.csv", [b'{"id":"1"}']), ("b.jsonl", [b"1", b"2"])):
            source = opened({"configMap": {"name": "ids", "key": key}}, stores.ports)
            assert (await source.scan()).count == len(expected)
            assert await payloads(source) == expected

    async def test_a_stated_format(self, stores: Stores) -> None:
        stores.config_maps.stored["default", "ids"] = {"a": b"id\n1\n"}
        source = opened({"configMap": {"name": "ids", "key": "a"}, "format": "CSV"}, stores.ports)
        assert await payloads(source) == [b'{"id":"1"}']

    async def test_bad_lines_are_named(self, stores: Stores) -> None:
        stores.config_maps.stored["default", "ids"] = {"a.jsonl": b"1\noops\n"}
        with pytest.raises(SourceError, match=r"^ConfigMap ids key a\.jsonl line 2: "):
            await opened({"configMap": {"name": "ids", "key": "a.jsonl"}}, stores.ports).scan()

    async def test_changed(self, stores: Stores) -> None:
        spec = {"configMap": {"name": "ids", "key": "a.jsonl"}}
        stores.config_maps.stored["default", "ids"] = {"a.jsonl": b"1\n2\n"}
        source = opened(spec, stores.ports)
        known = await source.scan()
        assert await opened(spec, stores.ports).is_unchanged(known)
        stores.config_maps.stored["default", "ids"]["a.jsonl"] = b"1\n3\n"
        assert not await opened(spec, stores.ports).is_unchanged(known)
        with pytest.raises(SourceError, match="the source changed"):
            await payloads(source)

    async def test_may_come_yet(self, stores: Stores) -> None:
        with pytest.raises(SourceUnavailable):
            await opened({"configMap": {"name": "ids", "key": "a.csv"}}, stores.ports).scan()


class TestObject:
    SPEC: dict[str, Any] = {"object": {"bucket": "inputs", "name": "ids.jsonl"}}  # noqa: RUF012 - a constant

    async def test_read(self, stores: Stores) -> None:
        digest = await stores.objects.put("inputs", "ids.jsonl", stream(b'{"a": 1}\n{"a": 2}\n'))
        source = opened(self.SPEC, stores.ports)
        summary = await source.scan()
        assert (summary.count, summary.version) == (2, digest)
        assert await payloads(source, 1) == [b'{"a": 2}']

    async def test_names_in_messages(self, stores: Stores) -> None:
        await stores.objects.put("inputs", "ids.jsonl", stream(b"oops\n"))
        for display, shown in (("", "inputs/ids.jsonl"), ("my.jsonl", "my.jsonl")):
            with pytest.raises(SourceError) as caught:
                await opened(self.SPEC, stores.ports, display).scan()
            assert caught.value.where == f"{shown} line 1"

    async def test_changed(self, stores: Stores) -> None:
        await stores.objects.put("inputs", "ids.jsonl", stream(b"1\n2\n"))
        source = opened(self.SPEC, stores.ports)
        known = await source.scan()
        await stores.objects.put("inputs", "ids.jsonl", stream(b"1\n2\n"))
        assert await opened(self.SPEC, stores.ports).is_unchanged(known)
        assert await payloads(source) == [b"1", b"2"]
        await stores.objects.put("inputs", "ids.jsonl", stream(b"1\n3\n"))
        assert not await opened(self.SPEC, stores.ports).is_unchanged(known)
        with pytest.raises(SourceError, match="the source changed"):
            await payloads(source)

    async def test_replaced_between_its_digest_and_its_bytes(
        self, stores: Stores, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        objects = stores.objects
        await objects.put("inputs", "ids.jsonl", stream(b"1\n"))
        source = opened(self.SPEC, stores.ports)
        await source.scan()
        read = objects.read

        async def late(bucket: str, name: str) -> Any:
            await objects.put(bucket, name, stream(b"2\n"))
            async for chunk in read(bucket, name):
                yield chunk

        monkeypatch.setattr(objects, "read", late)
        with pytest.raises(SourceError, match="the source changed"):
            await payloads(source)

    async def test_may_come_yet(self, stores: Stores) -> None:
        with pytest.raises(SourceUnavailable):
            await opened(self.SPEC, stores.ports).scan()


async def test_http_with_the_headers_of_a_secret(stores: Stores) -> None:
    stores.secrets.stored["default", "login"] = {"X-Key": "k"}
    async with http_server(answer(b"id\n1\n")) as server:
        spec = {"http": {"url": server.url("/ids.csv?x=1"), "secretName": "login"}}
        assert await payloads(opened(spec, stores.ports)) == [b'{"id":"1"}']
    assert server.requests[0]["x-key"] == "k"


@pytest.mark.parametrize(
    ("spec", "where", "instead"),
    [
        ({"configMap": {"name": "a", "key": "a.csv"}}, "spec.tasks.configMap", "--tasks"),
        ({"object": {"bucket": "a", "name": "a.csv"}}, "spec.tasks.object", "tasks.http"),
        ({"http": {"url": "http://h/a.csv", "secretName": "s"}}, "spec.tasks.http.secretName", "--tasks"),
    ],
)
def test_a_mode_without_the_store_says_what_to_use(spec: dict[str, Any], where: str, instead: str) -> None:
    with pytest.raises(InputError, match=instead) as caught:
        opened(spec, SourcePorts())
    assert caught.value.where == where
