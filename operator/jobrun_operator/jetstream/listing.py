"""Streams by the subjects that they store, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from jobrun_operator.jetstream.client import JetStream


async def streams_with(js: JetStream, subject: str) -> AsyncIterator[dict[str, Any]]:
    """What ``STREAM.LIST`` says of each stream with such a subject. Raises what ``JetStream.api`` does."""
    offset, total = 0, 1
    while offset < total:
        page = await js.api("STREAM.LIST", {"offset": offset, "subject": subject})
        streams = page.get("streams") or []
        for info in streams:
            yield info
        total = int(page["total"])
        if not streams:
            break  # the list became shorter while it was read
        offset += len(streams)
