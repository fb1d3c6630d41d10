"""Count and digest of a source's payloads, which tell one source from another.

The digest is defined in ``engine.ports.SourceSummary``: SHA-256 over the payloads in order, each preceded by its
length, so that no two different lists of payloads share it by being joined differently.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from itertools import chain

from jobrun_operator.api.types import MAX_TASKS
from jobrun_operator.errors import SourceError

_length = struct.Struct(">Q").pack


class Tally:
    def __init__(self, name: str, max_tasks: int = MAX_TASKS) -> None:
        self._name = name
        self._max_tasks = max_tasks
        self._hash = hashlib.sha256()
        self.count = 0
        self.size = 0
        """Bytes of all payloads together."""

    def add(self, payloads: Sequence[bytes]) -> None:
        """Raises SourceError past the most tasks that a run may have."""
        self.count += len(payloads)
        if self.count > self._max_tasks:
            raise SourceError(
                self._name,
                f"more than {self._max_tasks:,} tasks, which is the most for one run; split the data",
            )
        lengths = list(map(len, payloads))
        self.size += sum(lengths)
        pairs = zip(map(_length, lengths), payloads, strict=True)
        self._hash.update(b"".join(chain.from_iterable(pairs)))

    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def mark(self) -> bytes:
        """Of all payloads so far; half a digest tells one beginning of a source from another well enough."""
        return self._hash.copy().digest()[:16]
