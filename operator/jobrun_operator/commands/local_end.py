"""How ``jobrun local run`` ends: the results, the last words, the exit code."""

from __future__ import annotations

import json
import shlex
import sys

from rich.console import Console

from jobrun_operator.api import ConditionType, JobRun, JobRunStatus, Phase
from jobrun_operator.commands.local_input import LocalRunOptions
from jobrun_operator.commands.result_file import ResultFile
from jobrun_operator.core.reasons import Reason
from jobrun_operator.core.summary import counted
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.results import read_outcomes
from jobrun_operator.local.interrupts import Interrupts
from jobrun_operator.local.progress import outcome, plain_line
from jobrun_worker.wire import Names

_FAILED = '"outcome": "Failed"'
"""In a line of results."""


def refused_input(run: JobRun) -> str | None:
    """Why the run's tasks can't be used, where that is how it ended."""
    failed = run.status.condition(ConditionType.FAILED)
    return failed.message if failed is not None and failed.reason == Reason.INVALID_SOURCE else None


async def finish(
    run: JobRun, js: JetStream, options: LocalRunOptions, console: Console, first_error: str
) -> int:
    """The exit code of a run that has ended: 0 Completed, 1 Failed. ``first_error``: what to show of its failures."""
    completed, tasks = run.status.phase == Phase.COMPLETED, run.status.tasks
    if options.result_file is not None:
        lines = await _write_results(run, js, options.result_file, console)
        console.print(f"{counted(lines, 'line')} of results {options.result_file.name}", soft_wrap=True)
        if tasks is not None and (missing := tasks.succeeded + tasks.failed - lines) > 0:
            who = (
                "1 of the tasks has no line: it"
                if missing == 1
                else f"{missing:,} of the tasks have no line: they"
            )
            told = f"{who} succeeded before --results was asked for"
            console.print(told, style="yellow", soft_wrap=True)
    console.print(outcome(run), style="green" if completed else "red", soft_wrap=True)
    if tasks is not None and tasks.failed:
        if console.is_terminal and first_error:
            console.print(first_error, style="yellow", soft_wrap=True)  # the live view, which had it, is gone
        console.print(_where_failures_are(run, options), soft_wrap=True, markup=False)
    _print_json(run, options)
    return 0 if completed else 1


def _where_failures_are(run: JobRun, options: LocalRunOptions) -> str:
    """What to type to see what has failed, and why."""
    if options.data_dir is not None:
        command = shlex.join(["jobrun", "dead", "list", run.name, "--data-dir", str(options.data_dir)])
        return f"what failed, and why: {command}"
    if options.results is not None and options.results.is_file():
        return f"what failed, and why: {shlex.join(['grep', _FAILED, str(options.results)])}"
    return "with --data-dir, jobrun dead list shows what failed, and why; with --results FILE it is in there"


def interrupted(
    run: JobRun, newest: JobRunStatus, options: LocalRunOptions, console: Console, interrupts: Interrupts
) -> int:
    """The exit code of a run that a signal has stopped; ``newest``: as last seen."""
    console.print(plain_line(run.name, newest), soft_wrap=True)
    if options.data_dir is None:
        console.print("interrupted; without --data-dir nothing is kept: the next start is a fresh run")
    else:
        console.print(f"interrupted; go on with: {options.resume_command}", soft_wrap=True)
    _print_json(run, options)
    return interrupts.exit_code


async def _write_results(run: JobRun, js: JetStream, file: ResultFile, console: Console) -> int:
    total = (run.status.source and run.status.source.count) or 0
    outcomes = read_outcomes(js, Names(), run.uid, total)
    return await file.write(outcomes, on_wait=lambda message: console.print(message, soft_wrap=True))


def _print_json(run: JobRun, options: LocalRunOptions) -> None:
    if options.json:
        sys.stdout.write(json.dumps(run.to_wire(), ensure_ascii=False) + "\n")
