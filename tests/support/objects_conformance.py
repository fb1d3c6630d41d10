"""What every implementation of the port ``Objects`` must do. A test class inherits it and gives ``objects``."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol

import pytest

from jobrun_operator.engine.ports import Objects
from jobrun_operator.errors import InputError, SourceUnavailable

BUCKET = "inputs"


class ObjectStore(Objects, Protocol):
    async def put(self, bucket: str, name: str, chunks: AsyncIterable[bytes]) -> str: ...


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def broken() -> AsyncIterator[bytes]:
    yield b"x" * 300_000
    raise InputError("--tasks", "the disk is gone")


async def whole(objects: Objects, name: str, bucket: str = BUCKET) -> bytes:
    return b"".join([chunk async for chunk in objects.read(bucket, name)])


def sha256(data: bytes) -> str:
    return "SHA-256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()


class ObjectsConformance:
    async def test_what_is_put_is_read(self, objects: ObjectStore) -> None:
        await objects.put(BUCKET, "ids.csv", stream(b"id\n", b"1\n"))
        assert await whole(objects, "ids.csv") == b"id\n1\n"

    async def test_digest_is_the_sha256_of_the_bytes(self, objects: ObjectStore) -> None:
        put = await objects.put(BUCKET, "a", stream(b"hello"))
        assert put == await objects.digest(BUCKET, "a") == sha256(b"hello")

    async def test_an_empty_object(self, objects: ObjectStore) -> None:
        await objects.put(BUCKET, "empty", stream())
        assert await whole(objects, "empty") == b""
        assert await objects.digest(BUCKET, "empty") == sha256(b"")

    async def test_a_large_object_comes_in_pieces(self, objects: ObjectStore) -> None:
        data = bytes(range(256)) * 4096
        await objects.put(BUCKET, "large", stream(data[:700_001], data[700_001:]))
        pieces = [piece async for piece in objects.read(BUCKET, "large")]
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= 128 * 1024

    @pytest.mark.parametrize("name", ["a b/ü.jsonl", "x" * 512, "*.>", "a.b.c"])
    async def test_any_name(self, objects: ObjectStore, name: str) -> None:
        await objects.put(BUCKET, name, stream(b"1"))
        assert await whole(objects, name) == b"1"

    async def test_put_replaces(self, objects: ObjectStore) -> None:
        await objects.put(BUCKET, "a", stream(b"old"))
        await objects.put(BUCKET, "a", stream(b"new"))
        assert await whole(objects, "a") == b"new"
        assert await objects.digest(BUCKET, "a") == sha256(b"new")

    async def test_objects_and_buckets_are_apart(self, objects: ObjectStore) -> None:
        await objects.put(BUCKET, "a", stream(b"1"))
        await objects.put(BUCKET, "b", stream(b"2"))
        await objects.put("others", "a", stream(b"3"))
        assert [
            await whole(objects, "a"),
            await whole(objects, "b"),
            await whole(objects, "a", "others"),
        ] == [
            b"1",
            b"2",
            b"3",
        ]

    async def test_a_missing_bucket_or_object_may_come_yet(self, objects: ObjectStore) -> None:
        await objects.put(BUCKET, "there", stream(b"1"))
        for bucket, name in (("nowhere", "a"), (BUCKET, "missing")):
            with pytest.raises(SourceUnavailable, match=name):
                await objects.digest(bucket, name)
            with pytest.raises(SourceUnavailable, match=name):
                await whole(objects, name, bucket)

    async def test_a_put_that_fails_changes_nothing(self, objects: ObjectStore) -> None:
        await objects.put(BUCKET, "a", stream(b"old"))
        with pytest.raises(InputError, match="disk"):
            await objects.put(BUCKET, "a", broken())
        assert await whole(objects, "a") == b"old"

    async def test_replaced_while_it_is_read(self, objects: ObjectStore) -> None:
        await objects.put(BUCKET, "a", stream(b"x" * 1_000_000))
        pieces = aiter(objects.read(BUCKET, "a"))
        await anext(pieces)
        await objects.put(BUCKET, "a", stream(b"new"))
        with pytest.raises(SourceUnavailable, match="replaced"):
            [piece async for piece in pieces]
