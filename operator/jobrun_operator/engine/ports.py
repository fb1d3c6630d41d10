"""What the engine needs from the outside, as small Protocols; adapters live above the engine.

Every method may raise a kind of ``JobRunError`` (a ``TemporaryError`` where trying again can help) and nothing
else. One conformance suite a port runs against its in-memory and its real implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jobrun_operator.api import JobRun

# --- where tasks come from ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """What one whole pass over a source found."""

    count: int
    digest: str
    """``sha256:<hex>`` of the payloads in order, each preceded by its length (8 bytes, big-endian)."""
    version: str = ""
    """The store's own proof of identity (object digest, strong ETag); empty where there is none."""


class TaskSource(Protocol):
    """The payloads of a run, in order; the same at every pass, or the run fails."""

    async def scan(self) -> SourceSummary:
        """Read it all once, check every task. Raises SourceError that names the line, SourceUnavailable."""
        ...

    async def is_unchanged(self, known: SourceSummary) -> bool:
        """Whether it is still what ``known`` describes: by its version where it has one, else by another pass."""
        ...

    def read(self, start: int) -> AsyncIterator[Sequence[bytes]]:
        """Payloads from index ``start`` on, in chunks of at most 1000 tasks and about 4 MiB, at least one each."""
        ...


class ConfigMaps(Protocol):
    async def read_key(self, namespace: str, name: str, key: str) -> bytes:
        """Raises SourceUnavailable where the ConfigMap or its key is not there (yet)."""
        ...


class Secrets(Protocol):
    async def read_all(self, namespace: str, name: str) -> Mapping[str, str]:
        """Raises SourceUnavailable where the Secret is not there (yet)."""
        ...


class Objects(Protocol):
    """The broker's object store."""

    async def digest(self, bucket: str, name: str) -> str:
        """The object's own digest (``SHA-256=...``). Raises SourceUnavailable where it is not there."""
        ...

    def read(self, bucket: str, name: str) -> AsyncIterator[bytes]:
        """The object's bytes, chunk by chunk, in flat memory."""
        ...


# --- who does the work ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkersState:
    """``desired``: last asked for; ``running``: processes or pods that exist, those that drain included;
    ``ready``: connected and pulling."""

    desired: int = 0
    running: int = 0
    ready: int = 0


class Workers(Protocol):
    """Starts and drains the workers of runs: a Deployment each, or processes."""

    async def scale(self, run: JobRun, replicas: int) -> None:
        """Ask for ``replicas`` workers of ``run`` and return at once. Surplus ones drain (SIGTERM); those
        started from an older ``spec.worker`` or ``spec.retry`` are replaced."""
        ...

    async def observe(self, uid: str) -> WorkersState:
        """All zero for a run that never had any."""
        ...

    async def remove(self, uid: str) -> None:
        """End and forget the workers of a run; a run that has none is fine."""
        ...
