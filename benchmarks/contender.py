"""What a contender is to the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Readings = Mapping[str, float]
"""By measure."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tasks of one trial."""

    release: int
    work: int
    latency: int = 500
    latency_rate: float = 50.0
    """Tasks a second, at which a worker has next to nothing to do."""


class Contender(Protocol):
    name: str

    @property
    def trials(self) -> Sequence[str]:
        """Those that it has a part in."""
        ...

    async def prepare(self, folder: Path) -> str:
        """Build or install what it needs. Returns why that can't be, empty where it could: then it is skipped."""
        ...

    async def trial(self, trial: str, sizes: Sizes) -> Readings:
        """Raises program.Failed."""
        ...

    def versions(self) -> Mapping[str, str]: ...
