"""``jobrun submit``: a manifest and a file of data become a run on a cluster.

Everything that can be refused is refused before anything is made: the manifest, every line of the data, and by a trial
the API server's own opinion. Then the data goes into the broker's object store under the name of its digest, and the
manifest is applied. The same command again changes nothing, so that one that was cut short is simply repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from jobrun_operator.api import InvalidObject, JobRun, ObjectSource, Phase, Tasks
from jobrun_operator.api.changes import immutable_change
from jobrun_operator.commands import submit_wait
from jobrun_operator.commands.broker_access import check_address, cluster_broker
from jobrun_operator.commands.submit_data import Scanned, scan, upload
from jobrun_operator.errors import InputError
from jobrun_operator.jetstream.objects import NatsObjects
from jobrun_operator.kubernetes.api import KubeApi
from jobrun_operator.kubernetes.kubeconfig import user_access
from jobrun_operator.kubernetes.submitted import SubmittedRun
from jobrun_operator.manifest import load_manifest
from jobrun_operator.metrics import OperatorMetrics
from jobrun_operator.tasks.files import DataFile, data_file
from jobrun_worker.address import BrokerAddress
from jobrun_worker.wire import PAYLOAD_MARGIN

BUCKET = "tasks"


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """The command line of ``jobrun submit``."""

    manifest: Path
    tasks: Path
    broker: BrokerAddress
    bucket: str = BUCKET
    namespace: str | None = None
    """None: the manifest's, else the context's."""
    kubeconfig: Path | None = None
    context: str | None = None
    wait: bool = False


def submit(options: SubmitOptions) -> int:
    """Do it; returns the exit code. Raises InputError (2), and what else ends with 3."""
    _check_bucket(options.bucket)
    data = data_file(options.tasks)
    run = _read_manifest(options, data)
    check_address(options.broker)
    return asyncio.run(_submit(options, run, data))


async def _submit(options: SubmitOptions, run: JobRun, data: DataFile) -> int:
    where = str(options.manifest)
    async with AsyncExitStack() as stack:
        submitted = await stack.enter_async_context(_cluster(options, run))
        client = await stack.enter_async_context(cluster_broker(options.broker, "jobrun submit"))
        scanned = await scan(data, client.max_payload - PAYLOAD_MARGIN)
        run = _with_data(run, scanned, options.bucket)
        before = await submitted.read()
        if before is not None:
            _check_same_tasks(before, run, submitted)
        await submitted.apply(run, where=where, dry_run=True)
        click.echo(submit_wait.forecast(run, scanned.count))
        if warning := run.spec.deadline_warning(scanned.count):
            click.echo(f"warning: {warning}", err=True)
        put = await upload(scanned, NatsObjects(client), options.bucket)
        place = f"{options.bucket}/{scanned.object_name}"
        click.echo(f"data: {place}" + ("" if put else " (was there already)"))
        stored = await submitted.apply(run, where=where)
        click.echo(f"jobrun {submitted.namespace}/{submitted.name} {_done(before, stored)}")
        if options.wait:
            return await submit_wait.follow(submitted.read, str(stored["metadata"]["uid"]))
        click.echo(f"watch it: kubectl -n {submitted.namespace} get jobrun {submitted.name} --watch")
    return 0


def _read_manifest(options: SubmitOptions, data: DataFile) -> JobRun:
    """With a place for the data whose name is not known yet. Raises InputError."""
    place = {"bucket": options.bucket, "name": "data"}
    return load_manifest(options.manifest, local=False, tasks={"object": place, "format": data.format.value})


def _check_bucket(bucket: str) -> None:
    try:
        ObjectSource(bucket=bucket, name="data.csv")
    except ValidationError:
        raise InputError("--bucket", f"{bucket!r} can't be a bucket: use letters, digits, - and _") from None


def _with_data(run: JobRun, scanned: Scanned, bucket: str) -> JobRun:
    tasks = Tasks(object=ObjectSource(bucket=bucket, name=scanned.object_name))
    return run.model_copy(update={"spec": run.spec.model_copy(update={"tasks": tasks})})


@asynccontextmanager
async def _cluster(options: SubmitOptions, run: JobRun) -> AsyncIterator[SubmittedRun]:
    access = await user_access(options.kubeconfig, options.context)
    stated = run.namespace if "namespace" in run.metadata.model_fields_set else None
    if options.namespace and stated and options.namespace != stated:
        raise InputError(
            "--namespace", f"is {options.namespace}, and the manifest says {stated}: say one of them"
        )
    api = KubeApi(access.configuration, OperatorMetrics())
    try:
        yield SubmittedRun(api, options.namespace or stated or access.namespace, run.name)
    finally:
        await api.close()


def _check_same_tasks(before: dict[str, Any], run: JobRun, submitted: SubmittedRun) -> None:
    """Raises InputError where a run of the name is there for something else."""
    try:
        old = JobRun.from_wire(before)
    except InvalidObject:
        return  # the API server will say what is wrong
    full = f"{submitted.namespace}/{submitted.name}"
    if before["metadata"].get("deletionTimestamp"):
        raise InputError("metadata.name", f"the run {full} is being deleted: submit again when it is gone")
    if immutable_change(old, run) is None:
        return
    ended = f", which is {old.status.phase}" if old.status.phase in (Phase.COMPLETED, Phase.FAILED) else ""
    raise InputError(
        "metadata.name",
        f"there is a run {full} with other tasks{ended}, and the tasks of a run can't be changed: give this one "
        f"another name, or delete that one first (kubectl -n {submitted.namespace} delete jobrun {submitted.name})",
    )


def _done(before: dict[str, Any] | None, stored: dict[str, Any]) -> str:
    if before is None:
        return "created"
    phase = (stored.get("status") or {}).get("phase", "Pending")
    same = before["metadata"].get("generation") == stored["metadata"].get("generation")
    ended = ": it has ended, and does not run again" if phase in (Phase.COMPLETED, Phase.FAILED) else ""
    return f"{'unchanged' if same else 'updated'} ({phase}){ended}"
