"""``python -m accept [NAME...]``: show each bound of what must hold with its measured value and its limit."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from accept.bound import Bound
from accept.catalogue import SCENARIOS


def main(names: list[str]) -> int:
    if unknown := sorted(set(names) - set(SCENARIOS)):
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    held = broken = 0
    for name in names or SCENARIOS:
        for bound in _shown(name):
            held += bound.holds
            broken += not bound.holds
    print(f"\n{held} bounds hold, {broken} FAILED")
    return 1 if broken else 0


def _shown(name: str) -> list[Bound]:
    folder = Path(tempfile.mkdtemp(prefix=f"accept-{name}-"))
    began, bounds = time.monotonic(), []
    print(f"\n{name} (load {os.getloadavg()[0]:.1f})", flush=True)
    try:
        for bound in SCENARIOS[name](folder):
            bounds.append(bound)
            _print(bound)
    except Exception as error:
        traceback.print_exc()
        bounds.append(Bound("to its end", f"{type(error).__name__}: {error}"[:300], "", False))
        _print(bounds[-1])
    kept = not all(bound.holds for bound in bounds)
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"  {time.monotonic() - began:.0f} s{f'; kept in {folder}' if kept else ''}", flush=True)
    return bounds


def _print(bound: Bound) -> None:
    verdict = "ok" if bound.holds else "FAILED"
    limit = f"  [{bound.limit}]" if bound.limit else ""
    print(f"  {bound.what:<58} {bound.measured}{limit}  {verdict}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
