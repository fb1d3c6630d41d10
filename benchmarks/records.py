"""Real records for every contender that releases some: the airports of an example."""

from __future__ import annotations

import csv
import json
from itertools import cycle, islice
from pathlib import Path

_AIRPORTS = Path(__file__).parents[1] / "examples" / "daylight" / "airports.csv"


def airports(folder: Path, tasks: int) -> Path:
    """A file of them as JSON Lines, as often as it takes; made once in ``folder``."""
    path = folder / f"airports-{tasks}.jsonl"
    if not path.exists():
        with _AIRPORTS.open(newline="") as rows, path.open("w") as lines:
            for row in islice(cycle(list(csv.DictReader(rows))), tasks):
                lines.write(json.dumps(row) + "\n")
    return path
