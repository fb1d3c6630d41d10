"""One picture of each shape: replicas over time, and the age of the oldest waiting task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.scaling.shapes import Shape
from benchmarks.scaling.world import Course, Way

_LINES = {
    Way.IDEAL: ("ideal (slots in use, in replicas)", "#555555", "--", 1.2),
    Way.KEDA: ("KEDA", "#d55e00", "-", 1.6),
    Way.JOBRUN: ("JobRun", "#0072b2", "-", 1.8),
}
"""Name, colour (of Okabe and Ito: told apart by the colour-blind too), style and width; the last one lies on top."""

_AFTER = 1.15
"""How much of the time after the last task is shown, as a share of the time until then."""


def plot(shape: Shape, courses: Mapping[Way, Course], path: Path) -> None:
    """Write a PNG of ``courses``, of one seed."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    replicas, age = figure.subplots(2, 1, sharex=True)
    end = _AFTER * max(course.drained_at for course in courses.values())
    for way, (name, colour, style, width) in _LINES.items():
        look: dict[str, Any] = {"label": name, "color": colour, "linestyle": style, "linewidth": width}
        course = courses[way]
        _replicas(replicas, shape, course, look, end, in_use=way is Way.IDEAL)
        samples = [sample for sample in course.samples if sample.at <= min(end, course.drained_at + 1)]
        age.plot([one.at for one in samples], [one.oldest for one in samples], **look)
        age.axvline(course.drained_at, color=colour, linestyle=":", linewidth=1)
    figure.suptitle(f"{shape.name}: {shape.about}", x=0.01, ha="left", fontsize=10)
    replicas.set_ylabel("replicas asked for")
    age.set_ylabel("age of the oldest waiting task [s]")
    age.set_xlabel("time since the start of the run [s]; dotted: the last task is finished")
    age.set_xlim(0, end)
    for axes in (replicas, age):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    replicas.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*replicas.get_legend_handles_labels(), loc="outside lower center", ncols=len(_LINES))
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _replicas(
    axes: Axes, shape: Shape, course: Course, look: dict[str, Any], end: float, *, in_use: bool
) -> None:
    if in_use:
        samples = [one for one in course.samples if one.at <= end]
        axes.plot([one.at for one in samples], [one.busy / shape.concurrency for one in samples], **look)
        return
    times, numbers = zip((0.0, 0), *course.changes, (end, course.changes[-1][1]), strict=True)
    axes.step(times, numbers, where="post", **look)
