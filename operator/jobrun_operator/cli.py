"""The command line. Commands are imported when they are called: a worker's image has no Kubernetes client in it.

Exit codes: 0 done, 1 the run failed, 2 bad input, 3 the broker or the environment; each error is one message.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import metadata
from pathlib import Path

import click

from jobrun_operator.errors import JobRunError

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


@local.command("run")
@click.argument("manifest", metavar="FILE", type=_PATH)
@click.option("--tasks", type=_PATH, help="A JSON Lines or CSV file as the source of tasks.")
@click.option("--data-dir", type=_PATH, help="Keep the run here; the same command resumes it. Without: a fresh run.")
@click.option("--results", type=_PATH, help="Write a JSON line per task here at the end; implies results.retain.")
@click.option("--max-workers", type=click.IntRange(1, 1000), help="Worker processes at most (default: the cores).")
@click.option("--port", type=click.IntRange(1, 65535), help="Of the embedded nats-server (default: a free one).")
@click.option("--json", "as_json", is_flag=True, help="Last line of standard output: the JobRun with its status.")
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
    input, 3: broker or environment.
    """
    from jobrun_operator.commands.local_input import LocalRunOptions
    from jobrun_operator.commands.local_run import local_run as command

    options = LocalRunOptions(manifest, tasks, data_dir, results, max_workers, port or 0, as_json)
    sys.exit(command(options))


@cli.command()
def worker() -> None:
    """Run a worker; its settings are JOBRUN_* in the environment."""
    from jobrun_worker.main import main as command

    sys.exit(command(os.environ))


@cli.command()
def crds() -> None:
    """Print the CustomResourceDefinitions, for kubectl apply -f -."""
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
