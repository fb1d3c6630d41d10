"""``jobrun results``: how the tasks of a run ended, a JSON line each, in the order of index.

Nothing of a run is changed by reading.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from jobrun_operator.commands.kept_run import RunChoice, open_run, say
from jobrun_operator.commands.result_file import ResultFile
from jobrun_operator.jetstream.kept import KeptRun
from jobrun_operator.jetstream.results import read_outcomes


@dataclass(frozen=True, slots=True)
class ResultsOptions:
    """The command line of ``jobrun results``."""

    run: RunChoice
    output: Path | None = None

    @property
    def file(self) -> ResultFile:
        """What ``--output`` names; standard output without it."""
        return ResultFile("--output", self.output or Path("-"))


def results(options: ResultsOptions) -> int:
    """Write them; returns the exit code. Raises InputError (2) and EnvironmentFault (3)."""
    options.file.check()
    broker = options.run.broker
    inputs = {
        "the file of --nats-creds": broker.credentials,
        "the file of --nats-ca": broker.tls_ca,
        "the file of --nats-cert": broker.tls_cert,
        "the file of --nats-key": broker.tls_key,
    }
    options.file.check_is_none_of(
        {what: [Path(path)] for what, path in inputs.items() if path}, options.run.data_dir
    )
    return asyncio.run(_results(options))


async def _results(options: ResultsOptions) -> int:
    async with open_run(options.run, "jobrun results") as opened:
        outcomes = read_outcomes(opened.js, opened.names, opened.run.uid, opened.run.total)
        lines = await options.file.write(outcomes, on_wait=say)
    if not opened.run.keeps_results:
        say("results.retain is off in this run: only its failed tasks have a line")
    elif lines < opened.run.total:
        say(_missing(opened.run, lines))
    return 0


def _missing(run: KeptRun, lines: int) -> str:
    if not run.has_ended:
        return f"{lines:,} of {run.total:,} tasks {'has' if lines == 1 else 'have'} ended so far"
    missing = run.total - lines
    why = "ended while results were not kept, or never"
    return f"{missing:,} of {run.total:,} tasks {'has' if missing == 1 else 'have'} no line: {why}"
