"""Groups payloads into chunks that the engine releases at once: bounded in number and in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

MAX_TASKS = 1000
"""In one chunk: the most that one atomic batch of the broker takes."""

MAX_BYTES = 4 * 1024 * 1024
"""In one chunk, but for a single larger payload."""


class Batcher:
    """Keeps what does not fill a chunk yet. Promises: the order stays, and no chunk is empty."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._bytes = 0

    def add(self, payloads: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """The chunks that are full now."""
        self._waiting.extend(payloads)
        self._bytes += sum(map(len, payloads))
        while len(self._waiting) >= MAX_TASKS or self._bytes > MAX_BYTES:
            yield self._chunk()

    def rest(self) -> Iterator[Sequence[bytes]]:
        """What is left at the end."""
        while self._waiting:
            yield self._chunk()

    def _chunk(self) -> Sequence[bytes]:
        chunk = self._waiting[:MAX_TASKS]
        size = sum(map(len, chunk))
        if size > MAX_BYTES:
            size = fitting = 0
            for payload in chunk:
                if fitting and size + len(payload) > MAX_BYTES:
                    break
                size += len(payload)
                fitting += 1
            chunk = chunk[:fitting]
        del self._waiting[: len(chunk)]
        self._bytes -= size
        return chunk
