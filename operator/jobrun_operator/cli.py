"""The command line. Commands are imported when they are called: a worker's image has no Kubernetes client in it.

Exit codes: 0 done, 1 the run failed, 2 bad input, 3 the broker or the environment; each error is one message.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobrun_operator.errors import EnvironmentFault, JobRunError

if TYPE_CHECKING:
    from jobrun_operator.commands.dead import Selection
    from jobrun_operator.commands.kept_run import RunChoice
    from jobrun_worker.address import BrokerAddress

_PATH = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("jobrun"), prog_name="jobrun")
@click.option("--verbose", is_flag=True, help="Log what the parts do, to standard error.")
def cli(verbose: bool) -> None:
    """X tasks, at Y a minute, on 0 to N workers."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


@cli.group()
def local() -> None:
    """Runs on this machine, without a cluster."""


def _no_rate(context: click.Context, option: click.Parameter, value: str | None) -> None:
    """It can change while the run goes on, so it is in the manifest alone."""
    if value is not None:
        raise click.NoSuchOption(
            "--rate", "There is no option --rate: set spec.rate of the manifest, also while the run goes on."
        )


@local.command("run")
@click.argument("manifest", metavar="FILE", type=_PATH)
@click.option("--tasks", type=_PATH, help="A JSON Lines or CSV file as the source of tasks.")
@click.option(
    "--data-dir", type=_PATH, help="Keep the run here; the same command resumes it. Without: a fresh run."
)
@click.option(
    "--results",
    type=_PATH,
    help="Write a JSON line per task here at the end (-: to standard output); implies results.retain.",
)
@click.option(
    "--max-workers", type=click.IntRange(1, 1000), help="Worker processes at most (default: the cores)."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Of the embedded nats-server (default: a free one)."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Last line of standard output: the JobRun with its status."
)
@click.option("--rate", hidden=True, expose_value=False, callback=_no_rate)
def local_run(
    manifest: Path,
    tasks: Path | None,
    data_dir: Path | None,
    results: Path | None,
    max_workers: int | None,
    port: int | None,
    as_json: bool,
) -> None:
    """Run the JobRun of a manifest here: embedded nats-server, worker processes, live progress.

    Edits of the manifest act at once. Ctrl-C stops cleanly. Exit code 0: Completed, 1: Failed, 2: bad manifest or
    input, 3: broker or environment, 130: stopped with Ctrl-C.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is something to end in good order
    with _extra("local"):
        from jobrun_operator.commands.local_input import LocalRunOptions
        from jobrun_operator.commands.local_run import local_run as command

    options = LocalRunOptions(manifest, tasks, data_dir, results, max_workers, port or 0, as_json)
    sys.exit(command(options))


def _broker_options(command: Callable[..., None]) -> Callable[..., None]:
    """How to reach a cluster's broker; handed over as one BrokerAddress."""

    @click.option(
        "--nats-url", envvar="JOBRUN_NATS_URL", default="", help="The broker's address [JOBRUN_NATS_URL]."
    )
    @click.option(
        "--nats-creds",
        envvar="JOBRUN_NATS_CREDENTIALS",
        default="",
        help="A .creds file [JOBRUN_NATS_CREDENTIALS].",
    )
    @click.option(
        "--nats-user",
        envvar="JOBRUN_NATS_USER",
        default="",
        help="A user [JOBRUN_NATS_USER]; the password is taken from JOBRUN_NATS_PASSWORD.",
    )
    @click.option(
        "--nats-ca",
        envvar="JOBRUN_NATS_TLS_CA",
        default="",
        help="The authority that signed the broker's certificate, a file [JOBRUN_NATS_TLS_CA].",
    )
    @click.option(
        "--nats-cert",
        envvar="JOBRUN_NATS_TLS_CERT",
        default="",
        help="The certificate to show to the broker, a file [JOBRUN_NATS_TLS_CERT].",
    )
    @click.option(
        "--nats-key",
        envvar="JOBRUN_NATS_TLS_KEY",
        default="",
        help="That certificate's key, a file [JOBRUN_NATS_TLS_KEY].",
    )
    @functools.wraps(command)
    def with_broker(
        nats_url: str,
        nats_creds: str,
        nats_user: str,
        nats_ca: str,
        nats_cert: str,
        nats_key: str,
        **others: object,
    ) -> None:
        from jobrun_worker.address import BrokerAddress

        password = os.environ.get("JOBRUN_NATS_PASSWORD", "")
        broker = BrokerAddress(nats_url, nats_user, password, nats_creds, nats_ca, nats_cert, nats_key)
        command(broker=broker, **others)

    return with_broker


@cli.command()
@click.argument("manifest", metavar="FILE", type=_PATH)
@click.option(
    "--tasks", type=_PATH, required=True, metavar="DATA", help="A JSON Lines or CSV file: the tasks."
)
@click.option("--namespace", "-n", help="Of the run (default: the manifest's, else the context's).")
@click.option("--kubeconfig", type=_PATH, help="Default: KUBECONFIG, else ~/.kube/config.")
@click.option("--context", help="Of the kubeconfig (default: its current one).")
@click.option("--bucket", default="tasks", show_default=True, help="Of the object store, for the data.")
@click.option("--wait", is_flag=True, help="Tell how it goes, until the run has ended.")
@_broker_options
def submit(broker: BrokerAddress, **given: Any) -> None:
    """Run the JobRun of a manifest on a cluster, with a file of data as its tasks.

    Every line of the data is checked first. The same command again changes nothing. Exit code 0: handed in
    (with --wait: Completed), 1: Failed, 2: bad manifest, data or option, 3: the broker or the Kubernetes API.
    """
    with _extra("operator"):
        from jobrun_operator.commands.submit import SubmitOptions
        from jobrun_operator.commands.submit import submit as command
    sys.exit(command(SubmitOptions(broker=broker, **given)))


def _kept_run(command: Callable[..., None]) -> Callable[..., None]:
    """Which run it is about; handed over as one RunChoice."""

    @click.argument("name")
    @click.option("--namespace", "-n", help="Of the run (default: default).")
    @click.option(
        "--data-dir", type=_PATH, help="Of a local run (jobrun local run --data-dir), in place of a broker."
    )
    @click.option("--uid", default="", help="Which run of this name; default: the newest.")
    @click.option(
        "--prefix",
        envvar="JOBRUN_PREFIX",
        default="jobrun",
        help="Of the installation's streams [JOBRUN_PREFIX].",
    )
    @_broker_options
    @functools.wraps(command)
    def with_run(
        name: str,
        broker: BrokerAddress,
        namespace: str | None,
        data_dir: Path | None,
        uid: str,
        prefix: str,
        **others: object,
    ) -> None:
        with _extra("local"):
            from jobrun_operator.commands.kept_run import RunChoice

            command(run=RunChoice(name, broker, namespace, data_dir, uid, prefix), **others)

    return with_run


@cli.command()
@_kept_run
@click.option("--output", "-o", type=_PATH, help="Write into this file (default, and -: standard output).")
def results(run: RunChoice, output: Path | None) -> None:
    """Print how the tasks of a run ended: a JSON line each, in the order of index.

    Successes are there where the run has results.retain; dead letters always. Exit code 2: no such run or a bad option,
    3: the broker or the data directory.
    """
    from jobrun_operator.commands.results import ResultsOptions
    from jobrun_operator.commands.results import results as command

    sys.exit(command(ResultsOptions(run, output)))


@cli.group()
def dead() -> None:
    """Dead letters of a run: the tasks that failed for good, with what they were given and what went wrong."""


@dead.command("list")
@_kept_run
@click.option("--json", "as_json", is_flag=True, help="A JSON line each, with all that is known.")
def dead_list(run: RunChoice, as_json: bool) -> None:
    """List the dead letters of a run, the oldest first."""
    from jobrun_operator.commands.dead import list_letters

    sys.exit(list_letters(run, as_json=as_json))


@dead.command("show")
@_kept_run
@click.argument("index", type=click.IntRange(min=0))
def dead_show(run: RunChoice, index: int) -> None:
    """Print one dead letter, with the payload of its task, as JSON."""
    from jobrun_operator.commands.dead import show

    sys.exit(show(run, index))


def _letters(command: Callable[..., None]) -> Callable[..., None]:
    """Which dead letters it is about; handed over as one Selection."""

    @click.argument("index", type=click.IntRange(min=0), nargs=-1)
    @click.option("--all", "everything", is_flag=True, help="All dead letters of the run.")
    @click.option("--error", default="", metavar="TEXT", help="Those whose error has this text in it.")
    @functools.wraps(command)
    def with_selection(run: RunChoice, index: tuple[int, ...], everything: bool, error: str) -> None:
        from jobrun_operator.commands.dead import Selection

        command(run, Selection(index, everything, error))

    return with_selection


@dead.command("retry")
@_kept_run
@_letters
def dead_retry(run: RunChoice, selection: Selection) -> None:
    """Try tasks once more, with all their attempts: a success takes the place of the dead letter. The run goes on for
    it, also where it is complete, at its rate; a run that has failed takes no retries.
    """
    from jobrun_operator.commands.dead import retry

    sys.exit(retry(run, selection))


@dead.command("discard")
@_kept_run
@_letters
def dead_discard(run: RunChoice, selection: Selection) -> None:
    """Give tasks up: their payload is removed, and they still count as failed."""
    from jobrun_operator.commands.dead import discard

    sys.exit(discard(run, selection))


@contextlib.contextmanager
def _extra(extra: str) -> Iterator[None]:
    """A module that is not installed is named together with what brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"the module {error.name} is missing: pip install 'jobrun[{extra}]'"
        ) from error


@cli.command()
def operator() -> None:
    """Take care of the JobRuns of a cluster; its settings are JOBRUN_* in the environment."""
    with _extra("operator"):
        from jobrun_operator.commands.operator import operator as command

    sys.exit(command(os.environ))


@cli.command()
def worker() -> None:
    """Run a worker; its settings are JOBRUN_* in the environment."""
    with _extra("worker"):
        from jobrun_worker.main import main as command

    sys.exit(command(os.environ))


@cli.command()
def crds() -> None:
    """Print the CustomResourceDefinitions, for kubectl apply -f -."""
    with _extra("operator"):
        from jobrun_operator.api.render import crd_yaml

    click.echo(crd_yaml(), nl=False)


def main() -> None:
    """The entry point: errors that a user can act on become a message and an exit code."""
    try:
        cli()
    except JobRunError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
