"""Which streams are this installation's, whether their run still exists or not: where the sweep begins."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime

from jobrun_operator.core.sweep import OwnedStreams
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.listing import streams_with

_FRACTION = re.compile(r"\.(\d{1,6})\d*")


class JetStreamOwnership:
    """The ``Ownership`` port of the fleet."""

    def __init__(self, js: JetStream, settings: LayoutSettings) -> None:
        self._js = js
        self._settings = settings

    async def owned(self) -> Collection[OwnedStreams]:
        found: dict[str, OwnedStreams] = {}
        for kind in ("work", "out"):
            async for info in streams_with(self._js, f"{self._settings.names.prefix}.{kind}.>"):
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


def parse_time(text: str) -> datetime:
    """RFC 3339 as nats-server writes it, with up to nine digits after the point."""
    return datetime.fromisoformat(_FRACTION.sub(r".\1", text).replace("Z", "+00:00"))
