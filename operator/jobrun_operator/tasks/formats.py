"""The parser of each format, and the format of a file by its ending."""

from __future__ import annotations

from jobrun_operator.api import Format
from jobrun_operator.tasks.csvlines import CsvLines
from jobrun_operator.tasks.jsonlines import JsonLines
from jobrun_operator.tasks.records import RecordParser

PARSERS: dict[Format, type[RecordParser]] = {Format.JSON_LINES: JsonLines, Format.CSV: CsvLines}

ENDINGS = {".jsonl": Format.JSON_LINES, ".ndjson": Format.JSON_LINES, ".csv": Format.CSV}
"""As ``spec.tasks.format`` says."""


def format_of(name: str) -> Format | None:
    """By the ending of a file's name, in any case; None for any other ending."""
    lower = name.lower()
    return next((found for ending, found in ENDINGS.items() if lower.endswith(ending)), None)
