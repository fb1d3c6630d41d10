"""The data file of ``jobrun submit``: checked line by line before anything is made, then put into the object store.

An object's name is the digest of its content: a repeated submit finds what it has put before, two runs of the same data
share it, and what a run reads can't become something else under it.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import click

from jobrun_operator.api import Format
from jobrun_operator.errors import InputError, SourceUnavailable
from jobrun_operator.jetstream.objects import NatsObjects
from jobrun_operator.tasks.files import OPTION, DataFile
from jobrun_operator.tasks.formats import PARSERS
from jobrun_operator.tasks.streamed import OpenBytes, StreamedSource

_ENDINGS = {Format.CSV: ".csv", Format.JSON_LINES: ".jsonl"}


@dataclass(frozen=True, slots=True)
class Scanned:
    """A file whose every line was read and found good."""

    data: DataFile
    count: int
    """Tasks in it."""
    sha256: bytes
    """Of its bytes."""

    @property
    def object_name(self) -> str:
        """Its ending says the format, which ``spec.tasks`` then need not."""
        return f"sha256-{self.sha256.hex()}{_ENDINGS[self.data.format]}"


async def scan(data: DataFile, max_payload: int) -> Scanned:
    """One pass with the operator's own parser. Raises SourceError that names the line."""
    hashed = hashlib.sha256()
    with _progress("checking", data) as show:
        source = StreamedSource(_File(data, hashed, show), PARSERS[data.format], max_payload=max_payload)
        summary = await source.scan()
    return Scanned(data, summary.count, hashed.digest())


async def upload(scanned: Scanned, objects: NatsObjects, bucket: str) -> bool:
    """Put it there, unless it is there already; returns whether it was put.

    Raises InputError where the file is not what was scanned any more: nothing is stored then. Raises BrokerBusy,
    BrokerUnavailable.
    """
    name = scanned.object_name
    try:
        if await objects.digest(bucket, name) == _object_digest(scanned.sha256):
            return False
    except SourceUnavailable:
        pass
    with _progress("uploading", scanned.data) as show:
        await objects.put(bucket, name, _same(scanned, show))
    return True


async def _same(scanned: Scanned, show: _Progress) -> AsyncIterator[bytes]:
    hashed = hashlib.sha256()
    async for chunk in scanned.data.chunks():
        hashed.update(chunk)
        show.update(len(chunk))
        yield chunk
    if hashed.digest() != scanned.sha256:
        raise InputError(OPTION, f"{scanned.data.path} was changed while it was read; submit it again")


def _object_digest(sha256: bytes) -> str:
    """As the object store writes it (ADR-20)."""
    return f"SHA-256={base64.urlsafe_b64encode(sha256).decode()}"


class _File:
    """A ``ByteStream`` over the file, that hashes its bytes on the way."""

    def __init__(self, data: DataFile, hashed: Any, show: _Progress) -> None:
        self.name = str(data.path)
        self._data = data
        self._hashed = hashed
        self._show = show

    async def version(self) -> str:
        return ""

    @asynccontextmanager
    async def open(self, expected: str = "") -> AsyncIterator[OpenBytes]:
        yield OpenBytes("", self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._data.chunks():
            self._hashed.update(chunk)
            self._show.update(len(chunk))
            yield chunk


_Progress = Any
"""click's bar; its type has a parameter that says nothing here."""


@contextmanager
def _progress(label: str, data: DataFile) -> Iterator[_Progress]:
    """A bar on a terminal; elsewhere a line."""
    with click.progressbar(length=data.size, label=f"{label} {data.name}", file=sys.stderr) as bar:
        yield bar
