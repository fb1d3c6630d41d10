"""The figures as tables of Markdown, and their places in docs/scaling.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.scaling.measures import Measures
from benchmarks.scaling.shapes import SHAPES, Shape
from benchmarks.scaling.world import Way

Figures = Mapping[Way, Measures]

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"

_NOTHING = 0.05
"""Seconds; what is less shows as 0.0, and there is no share of it."""


def overall(shape: Shape, figures: Figures) -> str:
    """Excess over the ideal, and what it costs."""
    jobrun, keda = figures[Way.JOBRUN], figures[Way.KEDA]
    return _row(
        shape.name,
        *_excess(figures, Way.IDEAL, lambda one: one.drained),
        *_excess(figures, Way.IDEAL, lambda one: one.oldest),
        f"{jobrun.replica_seconds:,.0f} / {keda.replica_seconds:,.0f}",
        f"{jobrun.replica_seconds / keda.replica_seconds:.2f}",
        f"{jobrun.replica_seconds_drained / keda.replica_seconds_drained:.2f}",
        f"{jobrun.scale_events:.0f} / {keda.scale_events:.0f}",
    )


def beyond_start(shape: Shape, figures: Figures) -> str:
    """Excess over the ideal whose pods have to start."""
    return _row(
        shape.name,
        *_excess(figures, Way.PROMPT, lambda one: one.drained),
        *_excess(figures, Way.PROMPT, lambda one: one.oldest),
    )


def producer(shape: Shape, figures: Figures) -> str:
    """Next to a producer that never looks at the workers."""
    jobrun, script, ideal = figures[Way.JOBRUN], figures[Way.PRODUCER], figures[Way.IDEAL]
    return _row(
        shape.name,
        f"{jobrun.drained - ideal.drained:,.1f} / {script.drained - ideal.drained:,.1f}",
        f"{jobrun.overdue:.1f} / {script.overdue:.1f}",
        f"{ideal.busiest:,.0f} / {jobrun.busiest:,.0f} / {script.busiest:,.0f}",
        f"{jobrun.replica_seconds:,.0f} / {script.replica_seconds:,.0f}",
    )


def _excess(figures: Figures, over: Way, field: Callable[[Measures], float]) -> tuple[str, str]:
    """JobRun's and KEDA's, and the one as a share of the other."""
    least = field(figures[over])
    jobrun, keda = (max(0.0, field(figures[way]) - least) for way in (Way.JOBRUN, Way.KEDA))
    return f"{jobrun:.1f} / {keda:.1f}", f"{jobrun / keda:.2f}" if keda >= _NOTHING else "-"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


_LATER = "drained later, s | share | oldest waiting longer, s | share"


def tables(every: Mapping[str, Figures]) -> dict[str, list[str]]:
    """The lines of each table, by the name of its place."""
    shapes = [shape for shape in SHAPES if shape.name in every]
    return {
        "shapes": _table(
            "shape | tasks | replicas at most | load",
            (_row(one.name, f"{one.total:,}", str(one.max_replicas), one.about) for one in shapes),
        ),
        "overall": _table(
            f"shape | {_LATER} | replica-seconds | share | share until drained | scale events",
            (overall(one, every[one.name]) for one in shapes),
        ),
        "beyond-start": _table(f"shape | {_LATER}", (beyond_start(one, every[one.name]) for one in shapes)),
        "producer": _table(
            "shape | drained later, s | overdue, s | begun in the busiest 10 s | replica-seconds",
            (producer(one, every[one.name]) for one in shapes if one.rates),
        ),
    }


def _table(header: str, rows: Iterable[str]) -> list[str]:
    return [f"| {header} |", f"|{'---|' * (header.count('|') + 1)}", *rows]


def filled_in(page: str, every: Mapping[str, Figures]) -> str:
    """The page with its tables replaced; raises ValueError where one has no place."""
    for name, lines in tables(every).items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = "\n".join(lines)
        page, found = place.subn(rf"\g<1>{text}\n\g<2>", page)
        if found != 1:
            raise ValueError(f"the page needs one place for the table {name}, not {found}")
    return page
