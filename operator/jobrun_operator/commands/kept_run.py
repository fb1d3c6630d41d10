"""The run that a command of a person is about, and what keeps its outcomes.

From the broker of a cluster, where no access to Kubernetes is needed, or from a data directory of the local mode: while
the run goes on there from its own broker, else from one that is started on the directory for as long as it takes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from jobrun_operator.commands.broker_access import cluster_broker
from jobrun_operator.errors import EnvironmentFault, InputError
from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_operator.jetstream.kept import KeptRun, kept_runs
from jobrun_worker.address import BrokerAddress
from jobrun_worker.wire import Names

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class RunChoice:
    """What the command line says of the run."""

    name: str
    broker: BrokerAddress
    """Of a cluster; not looked at where there is a ``data_dir``."""
    namespace: str | None = None
    """None: default, or whatever the data directory has."""
    data_dir: Path | None = None
    uid: str = ""
    """Which run of that name."""
    prefix: str = "jobrun"


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A connection to the broker that keeps ``run``."""

    js: JetStream
    names: Names
    run: KeptRun


@asynccontextmanager
async def open_run(choice: RunChoice, command: str) -> AsyncIterator[OpenRun]:
    """The run, for the body; ``command`` names the connection. Raises InputError, EnvironmentFault."""
    names = Names(choice.prefix)
    if choice.data_dir is None:
        async with cluster_broker(choice.broker, command) as client:
            js = JetStream(client)
            yield OpenRun(js, names, await _find(js, names, choice))
        return
    if choice.uid:
        raise InputError("--uid", "a data directory holds one run: leave the option out")
    run = _stored(choice, choice.data_dir)
    async with AsyncExitStack() as stack:
        address = await _broker_of(choice.data_dir, stack)
        client = await connect(address, command)
        stack.push_async_callback(close, client)
        yield OpenRun(JetStream(client), names, run)


async def _find(js: JetStream, names: Names, choice: RunChoice) -> KeptRun:
    """The run that is meant. Raises InputError where there is none, or it can't be told which."""
    namespace = choice.namespace or "default"
    runs = await kept_runs(js, names)
    found = [run for run in runs if (run.namespace, run.name) == (namespace, choice.name)]
    if choice.uid:
        found = [run for run in found if run.uid == choice.uid]
    if not found:
        raise InputError("", _nothing_kept(runs, namespace, choice))
    if len({run.installation for run in found}) > 1:
        listed = "".join(f"\n  --uid {run.uid}  (of {run.created}, {run.installation})" for run in found)
        raise InputError(
            "NAME", f"several installations have a run {namespace}/{choice.name}; say which:{listed}"
        )
    if len(found) > 1:
        say(f"the newest of {len(found)} runs of this name, made {found[0].created}; another one: --uid")
    return found[0]


def _nothing_kept(runs: list[KeptRun], namespace: str, choice: RunChoice) -> str:
    there = [f"{run.namespace}/{run.name}" for run in runs]
    shown = ", ".join(dict.fromkeys(there[:_MOST_NAMED])) + (", ..." if len(there) > _MOST_NAMED else "")
    wanted = f"{namespace}/{choice.name}" + (f" with uid {choice.uid}" if choice.uid else "")
    return (
        f"the broker keeps nothing of a run {wanted}: it has not begun, or is cleaned up already "
        f"(cleanupSecondsAfterFinished). There is: {shown or 'no run at all'}"
    )


async def _broker_of(path: Path, stack: AsyncExitStack) -> BrokerAddress:
    """The broker that has the data directory open, or one that lives as long as ``stack``."""
    from jobrun_operator.local.broker import EmbeddedBroker
    from jobrun_operator.local.broker import read_address as address_in
    from jobrun_operator.local.keeper import Keeper
    from jobrun_operator.local.lock import DataDirectory

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
    return BrokerAddress(address.url, address.user, address.password)


def _stored(choice: RunChoice, path: Path) -> KeptRun:
    """The run of a data directory. Raises InputError where there is none, or another one."""
    from jobrun_operator.local.store import RunStore

    stored = RunStore(path).load()
    if stored is None:
        raise InputError("--data-dir", f"{path} is no data directory of a run (jobrun local run --data-dir)")
    if stored.name != choice.name or choice.namespace not in (None, stored.namespace):
        raise InputError("--data-dir", f"{path} belongs to the run {stored.namespace}/{stored.name}")
    count = stored.status.source.count if stored.status.source else None
    if count is None:
        raise InputError("--data-dir", f"the run in {path} has not begun: its tasks were never read")
    keeps, ended = stored.spec.results.retain, bool(stored.status.phase and stored.status.phase.is_final)
    return KeptRun(stored.namespace, stored.name, stored.uid, "", "", count, keeps, ended)


def say(text: str) -> None:
    """What is for the person, and no part of the output."""
    click.echo(text, err=True)
