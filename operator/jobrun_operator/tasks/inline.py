"""Tasks that are written in the manifest: ``spec.tasks.items``.

The payload of an item is its JSON without spaces, keys in the order of the manifest, non-ASCII text as UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from jobrun_operator.engine.ports import SourceSummary
from jobrun_operator.errors import SourceError
from jobrun_operator.tasks.batches import Batcher
from jobrun_operator.tasks.tally import Tally

WHERE = "spec.tasks.items"


class InlineSource:
    """A ``TaskSource`` over the items themselves."""

    def __init__(self, items: Sequence[Mapping[str, Any]], *, max_payload: int) -> None:
        self._items = items
        self._max_payload = max_payload

    async def scan(self) -> SourceSummary:
        payloads = self._payloads()
        if not payloads:
            raise SourceError(WHERE, "there is no task in it")
        tally = Tally(WHERE)
        tally.add(payloads)
        return SourceSummary(tally.count, tally.digest(), size=tally.size)

    async def is_unchanged(self, known: SourceSummary) -> bool:
        found = await self.scan()
        return (found.count, found.digest) == (known.count, known.digest)

    async def read(self, start: int) -> AsyncIterator[Sequence[bytes]]:
        batcher = Batcher()
        for chunk in batcher.add(self._payloads()[start:]):
            yield chunk
        for chunk in batcher.rest():
            yield chunk

    def _payloads(self) -> list[bytes]:
        return [self._payload(position, item) for position, item in enumerate(self._items)]

    def _payload(self, position: int, item: Mapping[str, Any]) -> bytes:
        where = f"{WHERE}[{position}]"
        try:
            text = json.dumps(item, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            payload = text.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise SourceError(where, f"can't be written as JSON: {error}") from error
        if len(payload) > self._max_payload:
            raise SourceError(
                where,
                f"a task may have at most {self._max_payload:,} bytes, and this one has {len(payload):,}",
            )
        return payload
