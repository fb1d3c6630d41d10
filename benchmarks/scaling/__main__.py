"""``python -m benchmarks.scaling``: every shape under every way of scaling, as tables and as pictures.

With ``--docs`` docs/scaling.md gets the tables and docs/scaling/ the pictures; that needs the extra ``bench``
(matplotlib).
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor

from benchmarks.scaling.measures import Measures, compare
from benchmarks.scaling.report import PAGE, filled_in, tables
from benchmarks.scaling.shapes import SHAPES
from benchmarks.scaling.world import Way, simulate

SEEDS = 10
SHAPES_BY_NAME = {shape.name: shape for shape in SHAPES}


def figures(names: list[str], seeds: int) -> dict[str, dict[Way, Measures]]:
    """Of each shape; one process for each core."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(_compare, names, [seeds] * len(names)), strict=True))


def _compare(name: str, seeds: int) -> dict[Way, Measures]:
    return compare(SHAPES_BY_NAME[name], seeds)


def draw(seeds: int) -> None:
    from benchmarks.scaling.plots import plot  # the tables need no matplotlib

    folder = PAGE.parent / PAGE.stem
    folder.mkdir(exist_ok=True)
    middle = seeds // 2
    for shape in SHAPES:
        courses = {way: simulate(shape, way, middle, seeds) for way in (Way.JOBRUN, Way.KEDA, Way.IDEAL)}
        plot(shape, courses, folder / f"{shape.name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--shapes", nargs="*", choices=list(SHAPES_BY_NAME), default=list(SHAPES_BY_NAME))
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="courses of each, with KEDA's polls at other times"
    )
    parser.add_argument("--docs", action="store_true", help="write docs/scaling.md and docs/scaling/")
    given = parser.parse_args()
    if given.docs and (given.seeds != SEEDS or len(given.shapes) != len(SHAPES)):
        parser.error("--docs is for all shapes, with the default of --seeds")
    found = figures(given.shapes, given.seeds)
    for name, lines in tables(found).items():
        print(f"\n{name}", *lines, sep="\n")
    if given.docs:
        PAGE.write_text(filled_in(PAGE.read_text(), found))
        draw(given.seeds)
        print(f"\nwritten to {PAGE} and the folder beside it")


if __name__ == "__main__":
    main()
