"""Which streams are this installation's, whether their run still exists or not: where the sweep begins."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection
from datetime import datetime
from typing import Any

from jobrun_operator.core.sweep import OwnedStreams
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.layout import LayoutSettings

_FRACTION = re.compile(r"\.(\d{1,6})\d*")


class JetStreamOwnership:
    """The ``Ownership`` port of the fleet."""

    def __init__(self, js: JetStream, settings: LayoutSettings) -> None:
        self._js = js
        self._settings = settings

    async def owned(self) -> Collection[OwnedStreams]:
        found: dict[str, OwnedStreams] = {}
        for kind in ("work", "out"):
            async for info in self._streams(f"{self._settings.names.prefix}.{kind}.>"):
                meta = info["config"].get("metadata") or {}
                uid = meta.get("jobrun-uid", "")
                if meta.get("jobrun-installation") != self._settings.installation or not uid:
                    continue
                created = parse_time(info["created"])
                if uid in found:
                    created = max(created, found[uid].created)
                place = meta.get("jobrun-namespace", ""), meta.get("jobrun-name", "")
                found[uid] = OwnedStreams(*place, uid=uid, created=created)
        return list(found.values())

    async def _streams(self, subject: str) -> AsyncIterator[dict[str, Any]]:
        offset, total = 0, 1
        while offset < total:
            page = await self._js.api("STREAM.LIST", {"offset": offset, "subject": subject})
            streams = page.get("streams") or []
            for info in streams:
                yield info
            total = int(page["total"])
            if not streams:
                break  # the list became shorter while it was read
            offset += len(streams)


def parse_time(text: str) -> datetime:
    """RFC 3339 as nats-server writes it, with up to nine digits after the point."""
    return datetime.fromisoformat(_FRACTION.sub(r".\1", text).replace("Z", "+00:00"))
