"""``jobrun results``: how the tasks of a run ended, a JSON line each, in the order of index.

From the broker of a cluster, where no access to Kubernetes is needed, or from a data directory of the local mode: while
the run goes on there from its own broker, else from one that is started on the directory for as long as it takes.
Nothing of a run is changed by reading.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import click

from jobrun_operator.commands.broker_access import cluster_broker
from jobrun_operator.errors import EnvironmentFault, InputError
from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_operator.jetstream.kept import KeptRun, kept_runs
from jobrun_operator.jetstream.results import read_outcomes, result_line
from jobrun_worker.address import BrokerAddress
from jobrun_worker.wire import Names

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class ResultsOptions:
    """The command line of ``jobrun results``."""

    name: str
    broker: BrokerAddress
    """Of a cluster; not looked at where there is a ``data_dir``."""
    namespace: str | None = None
    """None: default, or whatever the data directory has."""
    data_dir: Path | None = None
    output: Path | None = None
    uid: str = ""
    """Which run of that name."""
    prefix: str = "jobrun"


def results(options: ResultsOptions) -> int:
    """Write them; returns the exit code. Raises InputError (2) and EnvironmentFault (3)."""
    if options.data_dir is not None and options.uid:
        raise InputError("--uid", "a data directory holds one run: leave the option out")
    if options.output is not None and not options.output.parent.is_dir():
        raise InputError("--output", f"there is no directory {options.output.parent}; make it first")
    return asyncio.run(_results(options))


async def _results(options: ResultsOptions) -> int:
    async with AsyncExitStack() as stack:
        if options.data_dir is not None:
            js, run = await stack.enter_async_context(_of_directory(options, options.data_dir))
        else:
            client = await stack.enter_async_context(cluster_broker(options.broker, "jobrun results"))
            js = JetStream(client)
            run = await find(js, options)
        lines = await write(js, run, options)
    if not run.keeps_results:
        _say("results.retain is off in this run: only its failed tasks have a line")
    elif lines < run.total:
        _say(f"{lines:,} of {run.total:,} tasks have ended so far")
    return 0


async def find(js: JetStream, options: ResultsOptions) -> KeptRun:
    """The run that the options name. Raises InputError where there is none, or it can't be told which."""
    namespace = options.namespace or "default"
    runs = await kept_runs(js, Names(options.prefix))
    found = [run for run in runs if (run.namespace, run.name) == (namespace, options.name)]
    if options.uid:
        found = [run for run in found if run.uid == options.uid]
    if not found:
        raise InputError("", _nothing_kept(runs, namespace, options))
    if len({run.installation for run in found}) > 1:
        listed = "".join(f"\n  --uid {run.uid}  (of {run.created}, {run.installation})" for run in found)
        raise InputError(
            "NAME", f"several installations have a run {namespace}/{options.name}; say which:{listed}"
        )
    if len(found) > 1:
        _say(f"the newest of {len(found)} runs of this name, made {found[0].created}; another one: --uid")
    return found[0]


def _nothing_kept(runs: list[KeptRun], namespace: str, options: ResultsOptions) -> str:
    there = [f"{run.namespace}/{run.name}" for run in runs]
    shown = ", ".join(dict.fromkeys(there[:_MOST_NAMED])) + (", ..." if len(there) > _MOST_NAMED else "")
    wanted = f"{namespace}/{options.name}" + (f" with uid {options.uid}" if options.uid else "")
    return (
        f"the broker keeps nothing of a run {wanted}: it has not begun, or is cleaned up already "
        f"(cleanupSecondsAfterFinished). There is: {shown or 'no run at all'}"
    )


async def write(js: JetStream, run: KeptRun, options: ResultsOptions) -> int:
    """To standard output, or into a new file that takes the place of ``--output`` when it is whole; the lines."""
    names = Names(options.prefix)
    if options.output is None:
        return await _write_lines(js, run, names, sys.stdout)
    new = options.output.with_name(f".{options.output.name}.new")
    try:
        with new.open("w", encoding="utf-8") as file:
            lines = await _write_lines(js, run, names, file)
        new.replace(options.output)
    except OSError as error:
        raise EnvironmentFault(f"--output: {options.output} can't be written: {error.strerror}") from error
    finally:
        new.unlink(missing_ok=True)
    return lines


async def _write_lines(js: JetStream, run: KeptRun, names: Names, file: TextIO) -> int:
    lines = 0
    async for outcome in read_outcomes(js, names, run.uid, run.total):
        file.write(json.dumps(result_line(outcome), ensure_ascii=False) + "\n")
        lines += 1
    file.flush()
    return lines


@asynccontextmanager
async def _of_directory(options: ResultsOptions, path: Path) -> AsyncIterator[tuple[JetStream, KeptRun]]:
    from jobrun_operator.local.broker import EmbeddedBroker
    from jobrun_operator.local.broker import read_address as address_in
    from jobrun_operator.local.keeper import Keeper
    from jobrun_operator.local.lock import DataDirectory

    run = _stored(options, path)
    async with AsyncExitStack() as stack:
        try:
            directory = stack.enter_context(DataDirectory.open(path))
        except EnvironmentFault as fault:
            try:
                address = address_in(path)
            except OSError:
                raise fault from None
        else:
            keeper = await Keeper.start(hold=[directory.fileno()])
            stack.push_async_callback(keeper.aclose)
            broker = EmbeddedBroker(path, env=keeper.environment())
            stack.push_async_callback(broker.stop)
            await broker.start()
            address = broker.address
        login = BrokerAddress(address.url, address.user, address.password)
        client = await connect(login, "jobrun results")
        stack.push_async_callback(close, client)
        yield JetStream(client), run


def _stored(options: ResultsOptions, path: Path) -> KeptRun:
    """The run of a data directory. Raises InputError where there is none, or another one."""
    from jobrun_operator.local.store import RunStore

    stored = RunStore(path).load()
    if stored is None:
        raise InputError("--data-dir", f"{path} is no data directory of a run (jobrun local run --data-dir)")
    if stored.name != options.name or options.namespace not in (None, stored.namespace):
        raise InputError("--data-dir", f"{path} belongs to the run {stored.namespace}/{stored.name}")
    count = stored.status.source.count if stored.status.source else None
    if count is None:
        raise InputError("--data-dir", f"the run in {path} has not begun: its tasks were never read")
    keeps = stored.spec.results.retain
    return KeptRun(stored.namespace, stored.name, stored.uid, "", "", count, keeps)


def _say(text: str) -> None:
    click.echo(text, err=True)
