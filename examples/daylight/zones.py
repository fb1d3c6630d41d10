"""The names of time zones that the tz database lists for the countries of the world.

A name can be retired: ``Europe/Zaporozhye`` became a mere alias of ``Europe/Kyiv`` in 2022. Whether an alias still
loads depends on the machine (some distributions keep them in a package of their own), so that a record
which uses one would work on one worker and fail on the next. ``zone.tab`` gives the same answer on both.
"""

from __future__ import annotations

import contextlib
import zoneinfo
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


class NoTimeZones(Exception):
    """This machine has no tz database: install the system's package tzdata, or the Python package of that name."""

    def __init__(self) -> None:
        super().__init__(" ".join((self.__doc__ or "").split()))


@cache
def current() -> frozenset[str]:
    """Names in ``zone.tab``: the system's, as zoneinfo prefers it too, else that of the package tzdata.

    Raises NoTimeZones.
    """
    for directory in _directories():
        table = directory / "zone.tab"
        if table.is_file():
            lines = table.read_text(encoding="utf-8").splitlines()
            return frozenset(line.split("\t")[2] for line in lines if line and not line.startswith("#"))
    raise NoTimeZones


def _directories() -> list[Traversable]:
    found: list[Traversable] = [Path(directory) for directory in zoneinfo.TZPATH]
    with contextlib.suppress(ModuleNotFoundError):
        found.append(files("tzdata") / "zoneinfo")
    return found
