"""Runs a module as if nothing but one extra of the distribution were installed.

``python -m support.only_extra EXTRA MODULE [ARGUMENT...]``: every top-level module of a distribution that is not
required by ``jobrun[EXTRA]``, directly or through others, is not found.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from _typeshed.importlib import MetaPathFinderProtocol


def required(distribution: str, extra: str) -> set[str]:
    """Names of all distributions that ``distribution[extra]`` brings, itself included."""
    found: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(distribution), extra)]
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in found:
            continue
        found.add((name, wanted))
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": wanted}):
                child = canonicalize_name(requirement.name)
                todo += [(child, ""), *((child, inner) for inner in requirement.extras)]
    return {name for name, _ in found}


def refused(allowed: set[str]) -> set[str]:
    """Top-level modules of all distributions that are not ``allowed``."""
    owners = metadata.packages_distributions()
    return {
        module
        for module, names in owners.items()
        if not any(canonicalize_name(name) in allowed for name in names)
    }


class Without(MetaPathFinder):
    """Another finder, less what is refused: to it that is not installed."""

    def __init__(self, finder: MetaPathFinderProtocol, hidden: set[str]) -> None:
        self._finder = finder
        self._hidden = hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)  # finding metadata, forgetting caches

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self._hidden:
            return None
        return self._finder.find_spec(fullname, path, target)


if __name__ == "__main__":
    extra, module, *arguments = sys.argv[1:]
    hidden = refused(required("jobrun", extra))
    for loaded in [name for name in sys.modules if name.partition(".")[0] in hidden]:
        del sys.modules[loaded]
    sys.meta_path[:] = [Without(finder, hidden) for finder in sys.meta_path]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
