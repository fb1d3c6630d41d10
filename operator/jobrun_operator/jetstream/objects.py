"""The broker's object store (NATS ADR-20) behind the port ``Objects``, and ``put`` for what ``--tasks`` gives.

Promises: flat memory, whatever the size of an object; what is read to its end has the object's digest; an object
becomes visible when it is whole.

Chunks are read one by one with direct gets, instead of the client's ordered consumer: a run may read for hours, with
long pauses, across restarts of the broker, and a consumer would buffer, drop or stall meanwhile. (Measured:
250 MB/s on two cores.)
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js import errors as js_errors
from nats.js.object_store import (
    OBJ_CHUNKS_PRE_TEMPLATE,
    OBJ_DIGEST_TEMPLATE,
    OBJ_META_PRE_TEMPLATE,
    OBJ_STREAM_TEMPLATE,
)

from jobrun_operator.errors import BrokerBusy, BrokerUnavailable, SourceError, SourceUnavailable
from jobrun_worker.requests import obey_cancellation

CHUNK = 128 * 1024
"""Bytes in one message: ADR-20's default."""

_NO_ROOM = {10023, 10028, 10047, 10077}
"""Insufficient resources, or memory or storage exceeded, of the account or the bucket."""


class NatsObjects:
    """``Objects`` over a connected client. ``replicas`` is for buckets that ``put`` has to make."""

    def __init__(self, client: Client, *, replicas: int = 1) -> None:
        self._client = client
        self._js: JetStreamContext = client.jetstream()
        self._replicas = replicas

    async def digest(self, bucket: str, name: str) -> str:
        """``SHA-256=<base64>``. Raises SourceUnavailable where there is no such object, BrokerUnavailable."""
        with _translated(bucket, name):
            return (await self._info(bucket, name)).digest or ""

    async def read(self, bucket: str, name: str) -> AsyncIterator[bytes]:
        """The object's bytes. Raises what ``digest`` does, and SourceError where they are damaged."""
        with _translated(bucket, name):
            info = await self._info(bucket, name)
            stream = OBJ_STREAM_TEMPLATE.format(bucket=info.bucket)
            direct = bool((await self._js.stream_info(stream)).config.allow_direct)
        subject = OBJ_CHUNKS_PRE_TEMPLATE.format(bucket=info.bucket, obj=info.nuid)
        hashed = hashlib.sha256()
        sequence = received = 0
        while received < (info.size or 0):
            with _translated(bucket, name):
                message = await self._js.get_msg(stream, sequence + 1, subject, direct=direct, next=True)
            sequence = message.seq or 0
            data = message.data or b""
            received += len(data)
            hashed.update(data)
            yield data
        if _digest(hashed.digest()).rstrip("=") != (info.digest or "").rstrip("="):
            raise SourceError(
                f"{bucket}/{name}", "the stored object is damaged: its digest is another; store it again"
            )

    async def put(self, bucket: str, name: str, chunks: AsyncIterable[bytes]) -> str:
        """Store an object whole, in place of what had its name; makes the bucket if need be. Returns its digest.

        Nothing changes where ``chunks`` raises. Raises BrokerBusy where there is no room, BrokerUnavailable.
        """
        with _translated(bucket, name):
            old = await self._old_info(bucket, name)
        info = api.ObjectInfo(
            name=name,
            bucket=bucket,
            nuid=self._client._nuid.next().decode(),
            options=api.ObjectMetaOptions(max_chunk_size=CHUNK),
        )
        try:
            await self._put_chunks(info, chunks)
        except BaseException:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await self._purge(info)
            raise
        # Where this fails, the object may be visible all the same: its chunks must stay.
        with _translated(bucket, name):
            await self._put_info(info)
        if old is not None and old.nuid:
            with _translated(bucket, name):
                await self._purge(old)
        return info.digest or ""

    async def _info(self, bucket: str, name: str) -> api.ObjectInfo:
        """Of the object, or of the one that it is a link to."""
        info = await (await self._js.object_store(bucket)).get_info(name)
        link = info.options.link if info.options else None
        if link is None:
            return info
        if not link.name:
            raise SourceError(f"{bucket}/{name}", "is a link to a whole bucket; name an object")
        return await (await self._js.object_store(link.bucket)).get_info(link.name)

    async def _old_info(self, bucket: str, name: str) -> api.ObjectInfo | None:
        try:
            store = await self._js.object_store(bucket)
        except js_errors.BucketNotFoundError:
            store = await self._js.create_object_store(bucket, replicas=self._replicas)
        try:
            return await store.get_info(name)
        except js_errors.NotFoundError:
            return None

    async def _put_chunks(self, info: api.ObjectInfo, chunks: AsyncIterable[bytes]) -> None:
        subject = OBJ_CHUNKS_PRE_TEMPLATE.format(bucket=info.bucket, obj=info.nuid)
        hashed = hashlib.sha256()
        size = count = 0
        async for data in _resized(chunks):
            with _translated(info.bucket, info.name):
                await self._js.publish(subject, data)
            hashed.update(data)
            size += len(data)
            count += 1
        info.size, info.chunks, info.digest = size, count, _digest(hashed.digest())

    async def _put_info(self, info: api.ObjectInfo) -> None:
        info.mtime = datetime.now(UTC).isoformat()
        encoded = base64.urlsafe_b64encode(info.name.encode()).decode()
        subject = OBJ_META_PRE_TEMPLATE.format(bucket=info.bucket, obj=encoded)
        await self._js.publish(subject, json.dumps(info.as_dict()).encode(), headers={"Nats-Rollup": "sub"})

    async def _purge(self, info: api.ObjectInfo) -> None:
        subject = OBJ_CHUNKS_PRE_TEMPLATE.format(bucket=info.bucket, obj=info.nuid)
        await self._js.purge_stream(OBJ_STREAM_TEMPLATE.format(bucket=info.bucket), subject=subject)


async def digest_of(chunks: AsyncIterable[bytes]) -> str:
    """The digest that an object of these bytes has."""
    hashed = hashlib.sha256()
    async for chunk in chunks:
        hashed.update(chunk)
    return _digest(hashed.digest())


def _digest(sha256: bytes) -> str:
    return OBJ_DIGEST_TEMPLATE.format(digest=base64.urlsafe_b64encode(sha256).decode())


async def _resized(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of ``CHUNK``, the last one shorter."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        while len(waiting) >= CHUNK:
            yield bytes(waiting[:CHUNK])
            del waiting[:CHUNK]
    if waiting:
        yield bytes(waiting)


@contextmanager
def _translated(bucket: str, name: str) -> Iterator[None]:
    """The client's errors as ours."""
    what = f"object {name!r} in bucket {bucket!r}"
    try:
        yield
        obey_cancellation()
    except (js_errors.InvalidBucketNameError, js_errors.BadObjectMetaError) as error:
        raise SourceError(f"{bucket}/{name}", f"can't be an object: {error}") from error
    except js_errors.NotFoundError as error:
        raise SourceUnavailable(f"there is no {what} (yet), or it is being replaced") from error
    except js_errors.APIError as error:
        if error.err_code in _NO_ROOM:
            raise BrokerBusy(f"the broker has no room for {what}: {error.description}") from error
        raise BrokerUnavailable(f"the broker refused {what}: {error.description or error}") from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise BrokerUnavailable(
            f"the broker did not answer about {what}: {error or type(error).__name__}"
        ) from error
