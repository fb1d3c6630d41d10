"""``jobrun results``: how the tasks of a run ended, a JSON line each, in the order of index.

Nothing of a run is changed by reading.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from jobrun_operator.commands.kept_run import OpenRun, RunChoice, open_run, say
from jobrun_operator.errors import EnvironmentFault, InputError
from jobrun_operator.jetstream.results import read_outcomes, result_line


@dataclass(frozen=True, slots=True)
class ResultsOptions:
    """The command line of ``jobrun results``."""

    run: RunChoice
    output: Path | None = None


def results(options: ResultsOptions) -> int:
    """Write them; returns the exit code. Raises InputError (2) and EnvironmentFault (3)."""
    if options.output is not None and not options.output.parent.is_dir():
        raise InputError("--output", f"there is no directory {options.output.parent}; make it first")
    return asyncio.run(_results(options))


async def _results(options: ResultsOptions) -> int:
    async with open_run(options.run, "jobrun results") as opened:
        lines = await _write(opened, options.output)
    if not opened.run.keeps_results:
        say("results.retain is off in this run: only its failed tasks have a line")
    elif lines < opened.run.total:
        say(f"{lines:,} of {opened.run.total:,} tasks have ended so far")
    return 0


async def _write(opened: OpenRun, output: Path | None) -> int:
    """To standard output, or into a new file that takes the place of ``--output`` when it is whole; the lines."""
    if output is None:
        return await _write_lines(opened, sys.stdout)
    new = output.with_name(f".{output.name}.new")
    try:
        with new.open("w", encoding="utf-8") as file:
            lines = await _write_lines(opened, file)
        new.replace(output)
    except OSError as error:
        raise EnvironmentFault(f"--output: {output} can't be written: {error.strerror}") from error
    finally:
        new.unlink(missing_ok=True)
    return lines


async def _write_lines(opened: OpenRun, file: TextIO) -> int:
    lines = 0
    async for outcome in read_outcomes(opened.js, opened.names, opened.run.uid, opened.run.total):
        file.write(json.dumps(result_line(outcome), ensure_ascii=False) + "\n")
        lines += 1
    file.flush()
    return lines
