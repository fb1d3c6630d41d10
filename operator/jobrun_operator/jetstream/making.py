"""Makes streams and consumers that may be there already, and never takes over somebody else's."""

from __future__ import annotations

from typing import Any

from jobrun_operator.errors import JobRunError
from jobrun_operator.jetstream.client import JetStream, Refused
from jobrun_operator.jetstream.layout import LayoutSettings

_EXISTS = {10058, 10148}
"""A stream, or a consumer, of that name exists with another configuration."""


class Maker:
    """Of one installation."""

    def __init__(self, js: JetStream, settings: LayoutSettings) -> None:
        self._js = js
        self._settings = settings

    async def stream(self, config: dict[str, Any]) -> None:
        """Raises JobRunError where it is there and not ours."""
        try:
            await self._js.api(f"STREAM.CREATE.{config['name']}", config)
        except Refused as error:
            if error.code not in _EXISTS:
                raise
            # Made by an earlier version or with other settings: what is in it counts more than how it is set.
            if "metadata" in config:
                await self.check_owner(config["name"])

    async def check_owner(self, stream: str) -> None:
        """Raises NotFound where it is not there, JobRunError where it is not ours."""
        info = await self._js.api(f"STREAM.INFO.{stream}")
        theirs = (info["config"].get("metadata") or {}).get("jobrun-installation")
        if theirs != self._settings.installation:
            raise JobRunError(
                f"stream {stream} on the broker belongs to another installation ({theirs or 'unknown'}); "
                "use another prefix or another broker account"
            )

    async def consumer(self, stream: str, config: dict[str, Any]) -> None:
        name = config["durable_name"]
        # "create", not the default upsert: that one would also undo a pause.
        body = {"stream_name": stream, "config": config | {"name": name}, "action": "create"}
        try:
            await self._js.api(f"CONSUMER.CREATE.{stream}.{name}", body)
        except Refused as error:
            if error.code not in _EXISTS:
                raise
