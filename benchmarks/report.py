"""Readings of several rounds, as the rows of build/bench.json and as a table for people."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.measures import MEASURES

REFERENCE = "c-client"
"""Ratios are to this one: the limit of the broker."""

Readings = Mapping[tuple[str, str], Sequence[float]]
"""By measure and contender."""


def rows(readings: Readings) -> list[dict[str, Any]]:
    """One a measure and contender, in the order of ``MEASURES``."""
    order = list(MEASURES)
    return [
        {
            "measure": measure,
            "contender": contender,
            "unit": MEASURES[measure].unit,
            "median": statistics.median(values),
            "min": min(values),
            "max": max(values),
            "rounds": len(values),
        }
        for (measure, contender), values in sorted(readings.items(), key=lambda item: order.index(item[0][0]))
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines; the last column is the ratio to the C client's median: of releasing, or of pulling with acks."""
    limits = {row["measure"]: row["median"] for row in rows if row["contender"] == REFERENCE}
    yield f"{'measure':<21}{'contender':<16}{'median':>12}{'min':>12}{'max':>12}  {'unit':<14}{'to ' + REFERENCE:>12}"
    for row in rows:
        limit = limits.get(MEASURES[row["measure"]].limit)
        ratio = f"{row['median'] / limit:12.2f}" if limit else ""
        figures = "".join(f"{_figure(row[key]):>12}" for key in ("median", "min", "max"))
        yield f"{row['measure']:<21}{row['contender']:<16}{figures}  {row['unit']:<14}{ratio}".rstrip()


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
