"""``jobrun local run``: the engine, a broker and workers for one manifest on one machine.

Everything that it starts ends with it, in whatever way it ends. What can be refused is refused before a task is
released; an interrupted run keeps its data directory and goes on from there with the same command.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from jobrun_operator.api import JobRun, JobRunStatus, Phase
from jobrun_operator.api.changes import immutable_change
from jobrun_operator.commands import local_end
from jobrun_operator.commands.local_input import LocalInput, LocalRunOptions, read_input
from jobrun_operator.core.worker_settings import worker_settings
from jobrun_operator.engine.ending import end
from jobrun_operator.engine.ports import LiveStatus, RunRef
from jobrun_operator.engine.run import EngineSettings, Ports, RunEngine
from jobrun_operator.errors import EnvironmentFault, InputError, SourceUnavailable
from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_operator.jetstream.holds import JetStreamHolds
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.objects import NatsObjects, digest_of
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_operator.jetstream.pulses import JetStreamPulses
from jobrun_operator.jetstream.reports import JetStreamAudit, JetStreamLiveStatus
from jobrun_operator.jetstream.retries import JetStreamRetries
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_operator.local.broker import EmbeddedBroker
from jobrun_operator.local.interrupts import Interrupts
from jobrun_operator.local.keeper import Keeper
from jobrun_operator.local.lock import DataDirectory
from jobrun_operator.local.preflight import check_handler
from jobrun_operator.local.processes import ProcessWorkers
from jobrun_operator.local.progress import Output, Progress, ShownStatus
from jobrun_operator.local.store import RunStore
from jobrun_operator.local.watch import edits
from jobrun_operator.tasks import SourcePorts, open_source
from jobrun_worker.address import BrokerAddress
from jobrun_worker.wire import PAYLOAD_MARGIN, Names

ACK_WAIT_SECONDS = 5.0
"""Of the workers' consumer: after a worker was killed, its tasks run again so soon."""

_INTERVAL = 0.25
"""Seconds between two looks at the run, and between two views of it."""

_DRAIN_SECONDS = 10.0
"""How long running tasks may go on after Ctrl-C; then they are ended, and run again when the run is resumed."""


def local_run(options: LocalRunOptions) -> int:
    """Run it; returns the exit code. Raises InputError (2) and EnvironmentFault (3)."""
    interrupts = Interrupts()
    given = read_input(options)
    gc.freeze()  # what is imported stays: collections need not look at it, and releasing is held up for less
    to_output = options.result_file is not None and options.result_file.is_standard_output
    console = Output(stderr=options.json or to_output, highlight=False)
    with contextlib.ExitStack() as stack:
        root = options.data_dir
        if root is None:
            temporary = tempfile.TemporaryDirectory(prefix="jobrun-", ignore_cleanup_errors=True)
            root = Path(stack.enter_context(temporary))
        directory = stack.enter_context(DataDirectory.open(root))
        return asyncio.run(LocalRun(given, directory, console, interrupts).main())


class LocalRun:
    """One invocation, from the data directory to the exit code."""

    def __init__(
        self, given: LocalInput, directory: DataDirectory, console: Console, interrupts: Interrupts
    ) -> None:
        self._given = given
        self._options = given.options
        self._directory = directory
        self._console = console
        self._interrupts = interrupts
        self._store = RunStore(directory.path)
        self._stop = asyncio.Event()
        self._leave = asyncio.Event()
        self._driving = False
        """The engine is at work: it is asked to stop, and not cancelled."""
        self._has_driven = False

    async def main(self) -> int:
        loop = asyncio.get_running_loop()
        self._interrupts.act = lambda: loop.call_soon_threadsafe(self._interrupt)
        running = asyncio.create_task(self._run())
        leaving = asyncio.create_task(self._leave.wait())
        try:
            await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
            await end(leaving)
            if not running.done():
                await end(running)
        finally:
            self._interrupts.act = lambda: None  # it is at its end anyhow
        if running.cancelled():
            when = "after the run, before all was told" if self._has_driven else "before the run began"
            self._console.print(f"interrupted {when}")
            return self._interrupts.exit_code
        return await running

    def _interrupt(self) -> None:
        self._stop.set()
        if not self._driving:
            self._leave.set()

    async def _run(self) -> int:
        stored = self._stored_run()
        async with AsyncExitStack() as stack:
            temporary = self._directory.path if self._options.data_dir is None else None
            keeper = await Keeper.start(hold=[self._directory.fileno()], remove=temporary)
            stack.push_async_callback(keeper.aclose)
            if stored is None or not _has_ended(stored):
                await self._check_handler(keeper)
            broker = EmbeddedBroker(
                self._directory.path,
                port=self._options.port,
                env=keeper.environment(),
                on_restart=lambda message: self._console.print(message, style="yellow"),
            )
            stack.push_async_callback(broker.stop)
            await broker.start()
            supervising = await stack.enter_async_context(_background(broker.supervise()))
            address = broker.address
            client = await connect(BrokerAddress(address.url, address.user, address.password), "jobrun local")
            stack.push_async_callback(close, client)
            js = JetStream(client)
            if stored is not None and await self._is_to_retry(js, stored):
                await self._check_handler(keeper)
            await self._upload(NatsObjects(client), begun=stored is not None)
            run = stored or self._store.create(self._given.run)
            workers = self._workers(broker, keeper)
            stack.push_async_callback(workers.aclose, _DRAIN_SECONDS)
            self._driving = self._has_driven = True
            run, progress = await self._drive(run, js, workers, supervising)
            self._driving = False
            if (refusal := local_end.refused_input(run)) is not None:
                self._store.delete()  # nothing was released: with better input the directory can be used again
                raise InputError("", refusal)
            if _has_ended(run):
                return await local_end.finish(run, js, self._options, self._console, progress.first_error)
            if not self._stop.is_set():
                raise EnvironmentFault(
                    f"{self._directory.path} was removed or replaced while the run went on"
                )
            return local_end.interrupted(run, progress.status, self._options, self._console, self._interrupts)

    async def _check_handler(self, keeper: Keeper) -> None:
        settings = worker_settings(self._given.run, nats_url="-", ack_wait_seconds=ACK_WAIT_SECONDS)
        await check_handler(
            settings, self._options.handlers, keeper, where=self._given.place("spec", "worker")
        )

    async def _is_to_retry(self, js: JetStream, run: JobRun) -> bool:
        """Whether a run that is complete goes on, since one of its dead letters is to be tried once more."""
        if run.status.phase != Phase.COMPLETED:
            return False
        retries = JetStreamRetries(js, LayoutSettings(installation=self._directory.installation))
        return run.uid in await retries.wanted()

    # --- what "kubectl apply" is on a cluster -----------------------------------------------------------

    def _stored_run(self) -> JobRun | None:
        """The run of the data directory, with the manifest as it is now. Raises InputError for another run's."""
        stored, given = self._store.load(), self._given.run
        if stored is None:
            return None
        place = self._directory.path
        if (stored.namespace, stored.name) != (given.namespace, given.name):
            raise InputError(
                "--data-dir",
                f"{place} belongs to run {stored.name!r}, not to {given.name!r}: use another directory for it",
            )
        if changed := immutable_change(stored, given):
            raise InputError("--data-dir", f"{place} holds this run with other tasks; {changed}")
        return self._store.apply(stored, given)

    async def _upload(self, objects: NatsObjects, *, begun: bool) -> None:
        """Put the file of ``--tasks`` into the object store, unless the same content is there.

        Raises InputError where a run that has begun has other content.
        """
        data, place = self._given.data, self._given.run.spec.tasks.object
        if data is None or place is None:
            return
        try:
            present = await objects.digest(place.bucket, place.name)
        except SourceUnavailable:
            present = ""
        if present and present == await digest_of(data.chunks()):
            return
        if present and begun:
            message = (
                f"{data.path} has changed since this run was started: use another --data-dir for the new data"
            )
            raise InputError("--tasks", message)
        await objects.put(place.bucket, place.name, data.chunks())

    # --- the run ----------------------------------------------------------------------------------------

    async def _drive(
        self, run: JobRun, js: JetStream, workers: ProcessWorkers, supervising: asyncio.Task[None]
    ) -> tuple[JobRun, Progress]:
        """Until the run has ended, a signal asks to stop, or the broker is gone for good (raises why)."""
        settings = LayoutSettings(
            installation=self._directory.installation,
            names=Names(),
            ack_wait_seconds=ACK_WAIT_SECONDS,
            work_max_bytes=-1,  # the disk is the bound, and nothing of it is to be set aside
            events_max_bytes=-1,
        )
        streams = JetStreamWorkStreams(js, settings)
        await streams.provision_installation()
        holds = JetStreamHolds(js, settings.names)
        await holds.open()
        pulses = JetStreamPulses(js, settings.names)
        await pulses.open()
        with Progress(self._console, run) as progress:
            sources = SourcePorts(objects=NatsObjects(js.client))
            ports = Ports(
                streams=streams,
                observer=JetStreamObserver(js, settings),
                publisher=JetStreamPublisher(js, settings.names),
                audit=JetStreamAudit(js, settings),
                live=_ShownAndStored(ShownStatus(progress), JetStreamLiveStatus(js, settings)),
                statuses=self._store,
                events=_NoEvents(),
                workers=workers,
                holds=holds,
                pulses=pulses,
                retries=JetStreamRetries(js, settings),
                open_source=lambda run: open_source(
                    run.spec.tasks,
                    namespace=run.namespace,
                    ports=sources,
                    max_payload=js.client.max_payload - PAYLOAD_MARGIN,
                    display=str(self._given.data.path) if self._given.data else "",
                ),
                now=lambda: datetime.now(UTC),
            )
            engine = RunEngine(
                run,
                ports,
                EngineSettings(
                    interval=_INTERVAL,
                    live_interval=_INTERVAL,
                    most_workers=self._options.most_workers,
                    stream_name=settings.names.work_stream,
                ),
            )
            async with (
                _background(self._watch(engine, progress)) as watching,
                _background(self._stop.wait()) as stopping,
                _background(engine.main()) as driving,
            ):
                ends: set[asyncio.Task[Any]] = {driving, stopping, supervising, watching}
                done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            if _has_ended(engine.run):
                progress.show(engine.run.status)
        return engine.run, progress

    def _workers(self, broker: EmbeddedBroker, keeper: Keeper) -> ProcessWorkers:
        address = broker.address
        settings_for = partial(
            worker_settings,
            nats_url=address.url,
            nats_user=address.user,
            nats_password=address.password,
            ack_wait_seconds=ACK_WAIT_SECONDS,
        )
        return ProcessWorkers(
            settings_for,
            keeper=keeper,
            logs=self._directory.logs,
            cwd=self._options.handlers,
            max_workers=self._options.most_workers,
        )

    async def _watch(self, engine: RunEngine, progress: Progress) -> None:
        """Edits of the manifest act at once; one that can't be used changes nothing, and is told."""
        path = self._options.manifest
        async for content in edits(path, self._given.content):
            try:
                manifest = self._given.edited(content)
                if manifest.name != engine.run.name:
                    raise InputError(f"{path}: metadata.name", "a run can't be renamed")
                if changed := immutable_change(engine.run, manifest):
                    raise InputError(str(path), changed)
            except InputError as error:
                progress.say(f"this edit is not used: {error}", style="yellow")
                continue
            updated = self._store.apply(engine.run, manifest)
            if updated is not engine.run:
                progress.say(f"{path.name} was edited: going on with it")
                engine.update(updated)


def _has_ended(run: JobRun) -> bool:
    return run.status.phase in (Phase.COMPLETED, Phase.FAILED)


class _ShownAndStored:
    """The ``LiveStatus`` port twice: a broker that is away must not keep a person from seeing so."""

    def __init__(self, shown: LiveStatus, stored: LiveStatus) -> None:
        self._shown = shown
        self._stored = stored

    async def put(self, run: RunRef, status: JobRunStatus) -> None:
        await self._shown.put(run, status)
        await self._stored.put(run, status)

    async def forget(self, run: RunRef) -> None:
        await self._stored.forget(run)


class _NoEvents:
    """The ``Events`` port: here the progress tells each transition already."""

    async def publish(self, run: JobRun, *, reason: str, message: str, warning: bool) -> None:
        """Nothing to do."""


@asynccontextmanager
async def _background(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """A task beside the body, ended with it. What it raises is for who looks at it."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        await end(task)
