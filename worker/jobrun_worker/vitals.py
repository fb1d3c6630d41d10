"""What one process of a worker tells the process that supervises it: a line of JSON, every half second.

Metrics travel as the samples of their families, so that those of several processes can be added up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

_LASTING = ("counter", "histogram")
"""Kinds of metrics that stay true after the process has ended."""

Sample = tuple[str, dict[str, str], float]
"""Name, labels and value."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric of one process."""

    name: str
    kind: str
    meaning: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a process does. Each text is empty where there is nothing to tell."""

    came_up: bool = False
    """Whether it is, or was, ready for tasks."""
    trouble: str = ""
    """Why it should be replaced."""
    unready: str = ""
    """Why no tasks come to it."""
    failure: str = ""
    """Why it ends."""
    families: tuple[Family, ...] = ()

    def encode(self) -> bytes:
        """One line."""
        families = [[one.name, one.kind, one.meaning, one.samples] for one in self.families]
        return json.dumps([self.came_up, self.trouble, self.unready, self.failure, families]).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Vitals:
        """Raises ValueError for what ``encode`` does not write."""
        try:
            came_up, trouble, unready, failure, families = json.loads(line)
            found = [
                Family(
                    name, kind, meaning, tuple((sample, labels, value) for sample, labels, value in samples)
                )
                for name, kind, meaning, samples in families
            ]
        except TypeError as error:
            raise ValueError(f"not what a process tells: {error}") from None
        return cls(came_up, trouble, unready, failure, tuple(found))


def families(registry: CollectorRegistry) -> tuple[Family, ...]:
    """What ``registry`` holds now, without the times at which the library's counters were made."""
    return tuple(
        Family(
            metric.name,
            metric.type,
            metric.documentation,
            tuple(
                (sample.name, dict(sample.labels), sample.value)
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ),
        )
        for metric in registry.collect()
    )


class Totals(Collector):
    """The metrics of several processes, each sample the sum of theirs."""

    def __init__(self) -> None:
        self._meanings: dict[str, tuple[str, str]] = {}
        self._sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}

    def add(self, those: tuple[Family, ...]) -> None:
        for family in those:
            self._meanings[family.name] = (family.kind, family.meaning)
            sums = self._sums.setdefault(family.name, {})
            for name, labels, value in family.samples:
                key = (name, tuple(labels.items()))
                sums[key] = sums.get(key, 0.0) + value

    def add_ended(self, those: tuple[Family, ...]) -> None:
        """Of a process that has ended: what it counted stays, what it measured is no more."""
        self.add(tuple(family for family in those if family.kind in _LASTING))

    def families(self) -> tuple[Family, ...]:
        return tuple(
            Family(
                name, kind, meaning, tuple((of, dict(labels), value) for (of, labels), value in sums.items())
            )
            for name, sums in self._sums.items()
            for kind, meaning in [self._meanings[name]]
        )

    def collect(self) -> Iterator[Metric]:
        for family in self.families():
            metric = Metric(family.name, family.meaning, family.kind)
            for name, labels, value in family.samples:
                metric.add_sample(name, labels, value)
            yield metric
