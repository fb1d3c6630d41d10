"""``jobrun operator``: the engine for all runs of a cluster, or of some of its namespaces.

It waits for what it needs (the API, the CRD, the broker), saying so, rather than ending; without the broker it says so
on each run as well. It ends within seconds of a SIGTERM, and leaves runs, streams and workers as they are: workers go
on with what is released, and the next operator goes on where this one was. Two at once are harmless: the broker lets
each task be released once, and the API server lets one status follow another.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TypeVar

from jobrun_operator.api import API_VERSION, PLURAL, InvalidObject
from jobrun_operator.engine.fleet import Fleet, FleetSettings
from jobrun_operator.engine.run import EngineSettings, Ports
from jobrun_operator.errors import Gone, JobRunError
from jobrun_operator.jetstream.client import JetStream, connect
from jobrun_operator.jetstream.holds import JetStreamHolds
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.objects import NatsObjects
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.ownership import JetStreamOwnership
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_operator.jetstream.pulses import JetStreamPulses
from jobrun_operator.jetstream.reports import JetStreamAudit, JetStreamLiveStatus
from jobrun_operator.jetstream.retries import JetStreamRetries
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_operator.jetstream.waiting import oldest_waiting
from jobrun_operator.kubernetes import health, logs
from jobrun_operator.kubernetes.announced import AnnouncedStatuses
from jobrun_operator.kubernetes.api import KubeApi, Object, collection, load_configuration, metadata
from jobrun_operator.kubernetes.budget import WriteBudget
from jobrun_operator.kubernetes.configs import KubeConfigMaps, KubeSecrets
from jobrun_operator.kubernetes.deployments import DeploymentWorkers
from jobrun_operator.kubernetes.events import KubeEvents
from jobrun_operator.kubernetes.freshness import Freshness
from jobrun_operator.kubernetes.informer import Informer
from jobrun_operator.kubernetes.intake import Intake
from jobrun_operator.kubernetes.observation import kept_of_pod
from jobrun_operator.kubernetes.refusals import fault_of, stand_in
from jobrun_operator.kubernetes.runs import KubeRuns
from jobrun_operator.kubernetes.statuses import KubeStatuses
from jobrun_operator.kubernetes.template import UID_LABEL, WorkerPlace
from jobrun_operator.kubernetes.watch import JobRunWatch
from jobrun_operator.metrics import OperatorMetrics
from jobrun_operator.settings import OperatorSettings
from jobrun_operator.tasks import SourcePorts, open_source
from jobrun_worker.address import OPERATOR_INBOX, BrokerAddress
from jobrun_worker.client import LastingClient
from jobrun_worker.wire import PAYLOAD_MARGIN, Names

log = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 10.0
"""Seconds between tries of what the operator can't begin without."""

_STOP_SECONDS = 5.0

_GARBAGE = 10_000
"""Objects that are made before those in cycles are looked for. With a thousand runs, a look through all that is there
takes a third of a second in which nothing else is done; by default there would be one every three seconds."""

Found = TypeVar("Found")


def operator(environ: Mapping[str, str]) -> int:
    """Run it until it is told to stop; returns the exit code. Raises InputError (2) and EnvironmentFault (3)."""
    settings = OperatorSettings.from_env(environ)
    logs.configure(settings.log_format, settings.log_level)
    gc.freeze()  # what has been imported stays, and is not looked through again and again
    gc.set_threshold(_GARBAGE)
    return asyncio.run(Operator(settings).main())


class Operator:
    """One process, from its settings to its exit code."""

    def __init__(self, settings: OperatorSettings) -> None:
        self._settings = settings
        self._metrics = OperatorMetrics()
        self._stop = asyncio.Event()
        self._waiting_for = "starting"
        """What it can't begin without; empty once it has begun."""

    async def main(self) -> int:
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            page = health.Health(self._metrics, self._settings.port)
            page.ready = lambda: self._waiting_for
            port = await page.start()
            stack.push_async_callback(page.stop)
            log.info("/healthz, /readyz and /metrics are on port %d", port)
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._on_signal, number)
            running = asyncio.create_task(self._run(page), name="operator")
            stopping = asyncio.create_task(self._stop.wait(), name="stop")
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if running.done():
                running.result()
                return 1
            running.cancel()
            await asyncio.wait({running}, timeout=_STOP_SECONDS)
        log.info("stopped; workers go on with what is released")
        return 0

    def _on_signal(self, number: signal.Signals) -> None:
        log.info("%s: stopping", signal.Signals(number).name)
        self._stop.set()

    async def _run(self, page: health.Health) -> None:
        settings = self._settings
        async with AsyncExitStack() as stack:
            configuration = await load_configuration()
            api = KubeApi(configuration, self._metrics)
            stack.push_async_callback(api.close)
            installation = (
                f"{await self._wait('the Kubernetes API', lambda: _cluster(api))}/{settings.release}"
            )
            await self._wait("the CustomResourceDefinition", lambda: _crd(api, settings))
            js = JetStream(on_request=self._metrics.broker_request)
            layout = LayoutSettings(
                installation=installation,
                names=Names(settings.prefix),
                replicas=settings.stream_replicas,
                work_max_bytes=settings.work_max_bytes,
                ack_wait_seconds=settings.ack_wait_seconds,
            )
            parts = _Parts(settings, self._metrics, api, js, layout)
            watch = JobRunWatch(
                configuration,
                settings.watch_namespaces,
                parts.intake.event,
                on_start=self._metrics.watch_starts.inc,
            )
            page.alive, page.ready = parts.alive, parts.ready
            page.before_metrics = parts.measure
            self._metrics.runs = lambda: parts.fleet
            async with asyncio.TaskGroup() as group:
                group.create_task(self._connect(parts, stack), name="broker")
                group.create_task(parts.deployments.main(), name="deployments")
                group.create_task(parts.pods.main(), name="pods")
                # Nothing is decided before workers are known, and nothing said before the broker was asked.
                await parts.deployments.listed.wait()
                await parts.pods.listed.wait()
                await parts.broker_known.wait()
                log.info("taking care of the runs of installation %s", installation)
                parts.began = asyncio.get_running_loop().time()
                group.create_task(parts.fleet.main(), name="fleet")
                group.create_task(watch.main(), name="watch")

    async def _wait(self, what: str, attempt: Callable[[], Awaitable[Found]]) -> Found:
        """``attempt``, as often as it takes; what it waits for is logged and on /readyz."""
        self._say_waiting(f"waiting for {what}")
        return await _persistently(attempt, self._say_waiting)

    def _say_waiting(self, what: str) -> None:
        self._waiting_for = what

    async def _connect(self, parts: _Parts, stack: AsyncExitStack) -> None:
        """Give the parts their broker; runs are told why until there is one."""
        address = _address(self._settings)
        client = await _persistently(
            lambda: connect(address, "jobrun operator", inbox=OPERATOR_INBOX), parts.say_absent
        )
        stack.push_async_callback(client.close)
        await _persistently(lambda: parts.open(client), parts.say_absent)


async def _persistently(attempt: Callable[[], Awaitable[Found]], say: Callable[[str], None]) -> Found:
    """What ``attempt`` returns, however often it fails before; ``say`` hears why."""
    wait = _FIRST_WAIT
    while True:
        try:
            return await attempt()
        except JobRunError as error:
            say(str(error))
            log.warning("waiting: %s", error)
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)


class _Parts:
    """All adapters of one process, and the fleet over them."""

    def __init__(
        self,
        settings: OperatorSettings,
        metrics: OperatorMetrics,
        api: KubeApi,
        js: JetStream,
        layout: LayoutSettings,
    ) -> None:
        self._metrics = metrics
        self._layout = layout
        self.broker_known = asyncio.Event()
        """Whether there is a broker, or what is wrong with it."""
        self.began = float("inf")
        """When the fleet was started, on the loop's clock."""
        self._api = api
        self._js, self._names = js, layout.names
        namespaces = settings.watch_namespaces
        self.deployments = Informer(api, _paths("apps/v1", "deployments", namespaces), UID_LABEL)
        self.pods = Informer(api, _paths("v1", "pods", namespaces), UID_LABEL, keep=kept_of_pod)
        budget = WriteBudget(settings.api_writes_per_second, on_waiting=metrics.api_writes_held.set)
        events = KubeEvents(api, budget)
        secrets = KubeSecrets(api)
        config_maps = KubeConfigMaps(api)
        place = WorkerPlace(
            nats_url=settings.worker_nats_url or settings.nats_url,
            prefix=settings.prefix,
            ack_wait_seconds=settings.ack_wait_seconds,
            nats_secret=settings.worker_nats_secret,
        )
        self.holds = JetStreamHolds(js, layout.names)
        self.pulses = JetStreamPulses(js, layout.names)
        ports = Ports(
            streams=JetStreamWorkStreams(js, layout),
            observer=JetStreamObserver(js, layout),
            publisher=JetStreamPublisher(js, layout.names),
            audit=JetStreamAudit(js, layout),
            live=JetStreamLiveStatus(js, layout),
            statuses=AnnouncedStatuses(KubeStatuses(api, budget), events),
            events=events,
            workers=DeploymentWorkers(api, self.deployments, self.pods, secrets, budget, place),
            holds=self.holds,
            pulses=self.pulses,
            retries=JetStreamRetries(js, layout),
            open_source=lambda run: open_source(
                run.spec.tasks,
                namespace=run.namespace,
                ports=SourcePorts(config_maps=config_maps, secrets=secrets, objects=NatsObjects(js.client)),
                max_payload=js.client.max_payload - PAYLOAD_MARGIN,
            ),
            now=lambda: datetime.now(UTC),
        )
        self.freshness = Freshness()
        runs = KubeRuns(api, namespaces, self.refuse, budget)
        self.fleet = Fleet(
            ports,
            runs,
            JetStreamOwnership(js, layout),
            EngineSettings(
                interval=settings.interval_seconds,
                stream_name=layout.names.work_stream,
                on_step=metrics.step_seconds.observe,
                on_tripped=metrics.breaker_trips.inc,
                on_scaled=lambda reason: metrics.scale_decisions.labels(reason).inc(),
            ),
            FleetSettings(
                relist_seconds=settings.relist_seconds,
                namespaces=frozenset(namespaces) or None,
                sweep_age_seconds=settings.sweep_age_seconds,
            ),
        )
        self.intake = Intake(self.fleet, self.refuse, self.freshness)
        runs.on_listed, runs.on_complete = self.intake.listed, self.freshness.keep

    def refuse(self, item: Object, error: InvalidObject) -> None:
        self.fleet.refuse(stand_in(item), fault_of(error))

    def say_absent(self, why: str) -> None:
        """Why there is no broker yet."""
        self._js.absence = why
        self.broker_known.set()

    async def open(self, client: LastingClient) -> None:
        """Begin to use this connection; again where it fails. Raises JobRunError."""
        await JetStreamWorkStreams(JetStream(client), self._layout).provision_installation()
        self._js.attach(client)
        await self.holds.open()
        await self.pulses.open()
        self.broker_known.set()

    def alive(self) -> str:
        now = asyncio.get_running_loop().time()
        beat_age = now - (self.fleet.beat or self.began)  # also where it has never come around
        away = 0.0 if self._js.absence else self._js.client.away(now)
        still = max(self.deployments.still(now), self.pods.still(now))
        return health.alive(beat_age, self.freshness.behind(now), away, still)

    def ready(self) -> str:
        if self._js.absence:
            return self._js.absence
        if not self._js.client.is_connected:
            return self._js.client.why_silent("", 0.0)
        if self._api.trouble:
            return self._api.trouble
        return "" if self.deployments.synced and self.pods.synced else "workers are not listed yet"

    async def measure(self) -> None:
        now = asyncio.get_running_loop().time()
        self._metrics.broker_connected.set(not self._js.absence and bool(self._js.client.is_connected))
        self._metrics.fleet_beat.set(now - self.fleet.beat if self.fleet.beat else 0.0)
        self._metrics.watch_behind.set(self.freshness.behind(now))
        self._metrics.oldest_waiting = await oldest_waiting(
            self._js, self._names, self.fleet, datetime.now(UTC)
        )


async def _cluster(api: KubeApi) -> str:
    """What tells this cluster from all others: the uid of the namespace that every cluster has."""
    return str(metadata(await api.get("/api/v1/namespaces/kube-system"))["uid"])


async def _crd(api: KubeApi, settings: OperatorSettings) -> None:
    for path in _paths(API_VERSION, PLURAL, settings.watch_namespaces):
        try:
            await api.get(path, limit="1")
        except Gone as error:
            raise JobRunError(
                f"the CustomResourceDefinition {PLURAL}.{API_VERSION.split('/')[0]} is not installed: "
                "jobrun crds | kubectl apply -f -"
            ) from error


def _paths(group_version: str, plural: str, namespaces: tuple[str, ...]) -> list[str]:
    return [collection(group_version, plural, one) for one in namespaces] or [
        collection(group_version, plural)
    ]


def _address(settings: OperatorSettings) -> BrokerAddress:
    return BrokerAddress(
        url=settings.nats_url,
        user=settings.nats_user,
        password=settings.nats_password,
        credentials=settings.nats_credentials,
        tls_ca=settings.nats_tls_ca,
        tls_cert=settings.nats_tls_cert,
        tls_key=settings.nats_tls_key,
    )
